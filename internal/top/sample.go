// SPDX-License-Identifier: Apache-2.0

package top

import (
	"context"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	// answerPatience bounds the calls of one sample.
	answerPatience = 10 * time.Second
	// statusCalls is how many pods are asked for their addresses at the same time.
	statusCalls = 8
)

// sample is what was read at one moment. CPU times are since the start of what used them.
type sample struct {
	at         time.Time
	version    *cri.VersionResponse
	pods       []*cri.PodSandbox
	containers []*cri.Container
	usages     map[string]usage // of pods and containers, by id
	ips        map[string][]string
	node       nodeSample
	daemon     *processSample // nil when it cannot be seen from here
	holder     *processSample // nil when there is none
	metrics    daemonMetrics
}

// usage is what CRI reports of a pod or container. What it does not is nil.
type usage struct {
	at         int64 // ns since 1970, of cpu
	cpu        *uint64
	nanoCores  *uint64 // the server's own rate, over a time that it chooses
	workingSet *uint64
}

// sampler takes samples of one node.
type sampler struct {
	*client
	metrics string // URL, or empty
	http    http.Client
	ips     map[string][]string // of pods that are ready; they do not change
	holders holders
}

// take takes a sample. It fails as a whole, with a sentence for the user.
func (s *sampler) take(ctx context.Context) (*sample, error) {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	now := &sample{}
	if err := s.ask(ctx, now); err != nil {
		return nil, s.explain(err)
	}
	var err error
	if now.node, err = sampleNode(); err != nil {
		return nil, err
	}
	// It may have ended since it answered, or be in another pid namespace.
	if pid := s.server(); pid != 0 {
		now.daemon, _ = sampleProcess(pid)
	}
	now.holder = s.holders.of(now.daemon)
	if s.metrics != "" {
		if now.metrics, err = readMetrics(ctx, &s.http, s.metrics); err != nil {
			return nil, err
		}
	}
	return now, nil
}

// ask is the part of take that concerns CRI.
func (s *sampler) ask(ctx context.Context, now *sample) (err error) {
	if now.version, err = s.Version(ctx, &cri.VersionRequest{}); err != nil {
		return err
	}
	pods, err := s.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return err
	}
	containers, err := s.ListContainers(ctx, &cri.ListContainersRequest{})
	if err != nil {
		return err
	}
	now.pods, now.containers = pods.Items, containers.Containers
	if now.ips, err = s.addresses(ctx, now.pods); err != nil {
		return err
	}
	now.at = time.Now()
	now.usages, err = s.usages(ctx)
	return err
}

// usages asks for what pods use, or where the server does not tell that, containers.
func (s *sampler) usages(ctx context.Context) (map[string]usage, error) {
	usages := map[string]usage{}
	note := func(c *cri.ContainerStats) { usages[c.GetAttributes().GetId()] = usageOf(c.Cpu, c.Memory) }
	pods, err := s.ListPodSandboxStats(ctx, &cri.ListPodSandboxStatsRequest{})
	if err == nil {
		for _, p := range pods.Stats {
			usages[p.GetAttributes().GetId()] = usageOf(p.GetLinux().GetCpu(), p.GetLinux().GetMemory())
			for _, c := range p.GetLinux().GetContainers() {
				note(c)
			}
		}
	}
	if status.Code(err) != codes.Unimplemented {
		return usages, err
	}
	containers, err := s.ListContainerStats(ctx, &cri.ListContainerStatsRequest{})
	if err != nil {
		return nil, err
	}
	for _, c := range containers.Stats {
		note(c)
	}
	return usages, nil
}

func usageOf(cpu *cri.CpuUsage, memory *cri.MemoryUsage) usage {
	return usage{
		at: cpu.GetTimestamp(), cpu: number(cpu.GetUsageCoreNanoSeconds()), nanoCores: number(cpu.GetUsageNanoCores()),
		workingSet: number(memory.GetWorkingSetBytes()),
	}
}

func number(v *cri.UInt64Value) *uint64 {
	if v == nil {
		return nil
	}
	return &v.Value
}

// addresses asks for those of pods that it has not asked for yet. Lists do not have them.
func (s *sampler) addresses(ctx context.Context, pods []*cri.PodSandbox) (map[string][]string, error) {
	known := make(map[string][]string, len(pods))
	var mu sync.Mutex // guards known
	var calls errgroup.Group
	calls.SetLimit(statusCalls)
	for _, p := range pods {
		if p.State != cri.PodSandboxState_SANDBOX_READY {
			continue
		}
		if ips, asked := s.ips[p.Id]; asked {
			mu.Lock()
			known[p.Id] = ips
			mu.Unlock()
			continue
		}
		calls.Go(func() error {
			answer, err := s.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: p.Id})
			if status.Code(err) == codes.NotFound {
				return nil // removed since it was listed
			}
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			known[p.Id] = addressesOf(answer.GetStatus().GetNetwork())
			return nil
		})
	}
	err := calls.Wait()
	s.ips = known
	return known, err
}

func addressesOf(n *cri.PodSandboxNetworkStatus) []string {
	if n.GetIp() == "" {
		return []string{} // the network of the node
	}
	ips := []string{n.GetIp()}
	for _, more := range n.GetAdditionalIps() {
		ips = append(ips, more.GetIp())
	}
	return ips
}
