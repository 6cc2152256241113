// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

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
