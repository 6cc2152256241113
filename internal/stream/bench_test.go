// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// measure calls f again and again and reports the median.
func measure(b *testing.B, f func() error) {
	var took []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		if err := f(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkExecSync is /bin/true.
func BenchmarkExecSync(b *testing.B) {
	n := newNode(b, Config{})
	n.idle("one")
	cmd := []string{"/bin/true"}
	measure(b, func() error {
		_, err := n.ExecSync(b.Context(), "one", cmd, time.Minute)
		return err
	})
}

// BenchmarkConcurrentExecSync is /bin/true by many clients at the same time. The time per exec is one part of so many.
func BenchmarkConcurrentExecSync(b *testing.B) {
	for _, c := range []struct{ containers, clients int }{{1, 1}, {1, 100}, {20, 1000}} {
		b.Run(fmt.Sprintf("%d in %d", c.clients, c.containers), func(b *testing.B) {
			n := newNode(b, Config{})
			for i := range c.containers {
				n.idle(strconv.Itoa(i))
			}
			var clients sync.WaitGroup
			work := make(chan int)
			for i := range c.clients {
				clients.Go(func() {
					for range work {
						if _, err := n.ExecSync(b.Context(), strconv.Itoa(i%c.containers), []string{"/bin/true"}, time.Minute); err != nil {
							b.Error(err)
						}
					}
				})
			}
			before, count := cpuTime(b), 0
			for b.Loop() {
				work <- count
				count++
			}
			close(work)
			clients.Wait()
			b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(count), "cpu-µs/op")
		})
	}
}

// cpuTime is that of this process and of its children that were reaped.
func cpuTime(b *testing.B) (sum time.Duration) {
	b.Helper()
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}

// rpc is as much of a RuntimeService as the benchmark calls.
type rpc struct {
	runtimeapi.UnimplementedRuntimeServiceServer
	server *Server
}

func (s rpc) ExecSync(ctx context.Context, r *runtimeapi.ExecSyncRequest) (*runtimeapi.ExecSyncResponse, error) {
	result, err := s.server.ExecSync(ctx, r.ContainerId, r.Cmd, time.Duration(r.Timeout)*time.Second)
	if err != nil {
		return nil, err
	}
	return &runtimeapi.ExecSyncResponse{Stdout: result.Stdout, Stderr: result.Stderr, ExitCode: result.ExitCode}, nil
}

// BenchmarkExecSyncRPC is the same over gRPC on a Unix socket, as the kubelet calls it.
func BenchmarkExecSyncRPC(b *testing.B) {
	n := newNode(b, Config{})
	n.idle("one")
	socket := filepath.Join(n.dir, "socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	server := grpc.NewServer()
	runtimeapi.RegisterRuntimeServiceServer(server, rpc{server: n.Server})
	served := make(chan error)
	go func() { served <- server.Serve(l) }()
	defer func() { server.Stop(); <-served }()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	client := runtimeapi.NewRuntimeServiceClient(conn)
	request := &runtimeapi.ExecSyncRequest{ContainerId: "one", Cmd: []string{"/bin/true"}, Timeout: 60}
	measure(b, func() error {
		_, err := client.ExecSync(b.Context(), request)
		return err
	})
}
