// SPDX-License-Identifier: Apache-2.0

package podstats

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/kernel"
)

// defaultInterface is what CNI calls a pod's first interface.
const defaultInterface = "eth0"

// network is what the interfaces of a pod have transferred.
type network struct {
	at         time.Time
	interfaces []traffic
}

// traffic of one interface, without loopback.
type traffic struct {
	name   string
	rx, tx direction
}

type direction struct {
	bytes, packets, errors, drops uint64
}

// networks reads the traffic of all pods on one thread, which goes from namespace to namespace.
// A pod that has none, or whose cannot be read, is nil.
func networks(ctx context.Context, pods []*Pod) []*network {
	list := make([]*network, len(pods))
	if !anyNetNS(pods) {
		return list
	}
	kernel.OnThread(func() {
		for i, p := range pods {
			if p.NetNS == nil {
				continue
			}
			n, err := readNetwork(p.NetNS)
			if err != nil {
				log.G(ctx).WithError(err).WithField("pod", p.Attributes.GetId()).Warn("network use of the pod cannot be read")
			}
			list[i] = n
		}
	})
	return list
}

func anyNetNS(pods []*Pod) bool {
	for _, p := range pods {
		if p.NetNS != nil {
			return true
		}
	}
	return false
}

// readNetwork moves the calling thread, which must be thrown away. It is nil when netns was closed.
func readNetwork(netns *os.File) (*network, error) {
	conn, err := netns.SyscallConn() // keeps the descriptor open while it is used
	if err != nil {
		return nil, err
	}
	var moved error
	if conn.Control(func(fd uintptr) { moved = kernel.Setns(int(fd), unix.CLONE_NEWNET, netns.Name()) }) != nil {
		return nil, nil // closed: the pod is being removed
	}
	if moved != nil {
		return nil, moved
	}
	text, err := os.ReadFile("/proc/thread-self/net/dev")
	if err != nil {
		return nil, fmt.Errorf("read interfaces of %s: %w", netns.Name(), err)
	}
	return &network{at: time.Now(), interfaces: parseNetDev(text)}, nil
}

// parseNetDev reads proc_pid_net(5)'s dev: two lines of headings, then a line for each
// interface with 8 counters of receiving and 8 of sending.
func parseNetDev(text []byte) []traffic {
	var list []traffic
	for line := range bytes.Lines(text) {
		// A name may hold any character but ":", "/" and space.
		name, rest, ok := bytes.Cut(line, []byte{':'})
		fields := bytes.Fields(rest)
		const counters = 16
		if name = bytes.TrimSpace(name); !ok || len(fields) < counters || string(name) == "lo" {
			continue
		}
		list = append(list, traffic{name: string(name), rx: parseDirection(fields[:8]), tx: parseDirection(fields[8:])})
	}
	return list
}

func parseDirection(fields [][]byte) direction {
	var n [4]uint64
	for i := range n {
		n[i], _ = strconv.ParseUint(string(fields[i]), 10, 64)
	}
	return direction{bytes: n[0], packets: n[1], errors: n[2], drops: n[3]}
}

// usage names eth0 the default interface, or the first one where there is no eth0. The default one is
// not in the list of the others (api.proto, NetworkUsage).
func (n *network) usage() *runtime.NetworkUsage {
	if n == nil {
		return nil
	}
	usage := &runtime.NetworkUsage{Timestamp: n.at.UnixNano()}
	first := n.defaultIndex()
	for i, t := range n.interfaces {
		u := &runtime.NetworkInterfaceUsage{
			Name: t.name, RxBytes: value(t.rx.bytes), RxErrors: value(t.rx.errors), TxBytes: value(t.tx.bytes), TxErrors: value(t.tx.errors),
		}
		if i == first {
			usage.DefaultInterface = u
		} else {
			usage.Interfaces = append(usage.Interfaces, u)
		}
	}
	return usage
}

func (n *network) defaultIndex() int {
	for i, t := range n.interfaces {
		if t.name == defaultInterface {
			return i
		}
	}
	return 0
}
