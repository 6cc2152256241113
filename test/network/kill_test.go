// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/testnode"
	"github.com/sardine-run/sardine/test/cri"
)

const (
	killWorkers  = 4
	podsOfWorker = 12
	kills        = 5
)

// TestKilled runs and removes pods at once while the daemon is killed and started again. At the end nothing is left of any.
func TestKilled(t *testing.T) {
	n := cri.StartNode(t)
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SARDINE_CHURN_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SARDINE_CHURN_SEED=%d", seed)
	var wg sync.WaitGroup
	var lived, failed counter
	for worker := range killWorkers {
		random := rand.New(rand.NewPCG(seed, uint64(worker)))
		var configs []*runtime.PodSandboxConfig
		for range podsOfWorker {
			configs = append(configs, n.PodConfig(func(c *runtime.PodSandboxConfig) {
				c.PortMappings = []*runtime.PortMapping{{ContainerPort: 80, HostPort: 30000 + random.Int32N(20000)}}
			}))
		}
		wg.Go(func() {
			for _, config := range configs {
				if live(n, config, random) {
					lived.add()
				} else {
					failed.add() // the daemon died meanwhile
				}
			}
		})
	}
	killAll(n, rand.New(rand.NewPCG(seed, 1000)), &lived)
	wg.Wait()
	t.Logf("%d pods lived and ended, %d were interrupted", lived.get(), failed.get())
	if lived.get() < killWorkers*podsOfWorker/4 {
		t.Errorf("only %d pods lived to their end", lived.get())
	}
	removeAll(t, n)
	testnode.Eventually(t, "no address is in use", func() bool { return len(n.Addresses()) == 0 })
	testnode.Eventually(t, "no trace is left", func() bool { return traces(t, n) == "" })
	if left := traces(t, n); left != "" {
		t.Errorf("left: %s", left)
	}
	if left := n.Addresses(); len(left) > 0 {
		t.Errorf("addresses are left: %v", left)
	}
}

type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add() { c.mu.Lock(); c.n++; c.mu.Unlock() }

func (c *counter) get() int { c.mu.Lock(); defer c.mu.Unlock(); return c.n }

// live runs and removes a pod. What is interrupted is left to removeAll, as a kubelet would find it later.
func live(n *cri.Node, config *runtime.PodSandboxConfig, random *rand.Rand) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	wait := grpc.WaitForReady(true) // for a daemon that starts
	pod, err := n.Runtime.RunPodSandbox(ctx, &runtime.RunPodSandboxRequest{Config: config}, wait)
	if err != nil {
		return false
	}
	time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
	_, errStop := n.Runtime.StopPodSandbox(ctx, &runtime.StopPodSandboxRequest{PodSandboxId: pod.PodSandboxId}, wait)
	_, errRemove := n.Runtime.RemovePodSandbox(ctx, &runtime.RemovePodSandboxRequest{PodSandboxId: pod.PodSandboxId}, wait)
	return errStop == nil && errRemove == nil
}

// killAll kills the daemon several times while pods live. Each time some have lived meanwhile.
func killAll(n *cri.Node, random *rand.Rand, lived *counter) {
	for range kills {
		before := lived.get()
		for range 200 {
			time.Sleep(time.Duration(5+random.IntN(20)) * time.Millisecond)
			if lived.get() > before+2 {
				break
			}
		}
		n.Kill9()
		n.Start()
		n.Restarted()
	}
}

// removeAll removes pods as a kubelet does that has forgotten them.
func removeAll(t *testing.T, n *cri.Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	list, err := n.Runtime.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range list.Items {
		remove(t, n, pod.Id)
	}
}

// remove has a time of its own: there may be many.
func remove(t *testing.T, n *cri.Node, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := n.Runtime.StopPodSandbox(ctx, &runtime.StopPodSandboxRequest{PodSandboxId: id}); err != nil {
		t.Errorf("stop: %v", err)
	}
	if _, err := n.Runtime.RemovePodSandbox(ctx, &runtime.RemovePodSandboxRequest{PodSandboxId: id}); err != nil {
		t.Errorf("remove: %v", err)
	}
}

// traces are interfaces and rules of single pods.
func traces(t *testing.T, n *cri.Node) string {
	t.Helper()
	var found []string
	for line := range strings.Lines(output(t, n, "nft", "list", "ruleset")) {
		if strings.Contains(line, "10.88.") {
			found = append(found, line)
		}
	}
	return output(t, n, "ip", "-o", "link", "show", "type", "veth") + fmt.Sprint(strings.Join(found, ""))
}

// output of a command in the node's place.
func output(t *testing.T, n *cri.Node, name string, args ...string) string {
	t.Helper()
	in := node{t: t, place: n.Place}
	return in.output(name, args...)
}
