// SPDX-License-Identifier: Apache-2.0

package netcheck

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Pod is what a pod has of the network.
type Pod struct {
	ID          string      `json:"id"`
	Name        string      `json:"name"`
	Namespace   string      `json:"namespace"`
	State       string      `json:"state"` // ready, notready
	HostNetwork bool        `json:"hostNetwork,omitempty"`
	NetNS       string      `json:"netns,omitempty"` // by which plugins opened its network namespace
	Interfaces  []Interface `json:"interfaces"`
	Ports       []Port      `json:"ports,omitempty"`
}

// Interface is one of a pod.
type Interface struct {
	Name      string   `json:"name"`
	MAC       string   `json:"mac,omitempty"`
	Network   string   `json:"network"`
	Addresses []string `json:"addresses"`      // CIDR
	Host      []string `json:"host,omitempty"` // interfaces of the host that the plugins made for it
}

// Port of the host that leads to the pod.
type Port struct {
	HostIP        string `json:"hostIP,omitempty"`
	HostPort      int    `json:"hostPort"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
}

// String implements fmt.Stringer.
func (p Port) String() string {
	text := fmt.Sprintf("%d->%d/%s", p.HostPort, p.ContainerPort, p.Protocol)
	if p.HostIP != "" {
		text = p.HostIP + ":" + text
	}
	return text
}

// List returns all pods, by namespace and name. ErrUnavailable when the daemon does not answer.
func List(ctx context.Context, o Options) ([]Pod, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	k, err := o.know(ctx)
	if err != nil {
		return nil, err
	}
	if k.unanswered != nil {
		return nil, fmt.Errorf("the daemon does not say which pods there are (is it running at %s?): %w", o.Address, k.unanswered)
	}
	results := map[string][]*result{}
	for _, r := range k.results {
		results[r.ContainerID] = append(results[r.ContainerID], r)
	}
	d, err := connect(o.Address)
	if err != nil {
		return nil, err
	}
	defer d.close()
	pods := make([]Pod, 0, len(k.pods))
	for id, p := range k.pods {
		pod := podOf(p, results[id])
		pod.HostNetwork = len(results[id]) == 0 && d.hasHostNetwork(ctx, id)
		pods = append(pods, pod)
	}
	slices.SortFunc(pods, func(a, b Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return pods, nil
}

func podOf(p *cri.PodSandbox, results []*result) Pod {
	pod := Pod{ID: p.Id, Name: p.Metadata.GetName(), Namespace: p.Metadata.GetNamespace(), State: "ready", Interfaces: []Interface{}}
	if p.State != cri.PodSandboxState_SANDBOX_READY {
		pod.State = "notready"
	}
	slices.SortFunc(results, func(a, b *result) int { return cmp.Compare(a.IfName, b.IfName) })
	for i, r := range results {
		pod.NetNS = r.NetNS
		pod.Interfaces = append(pod.Interfaces, r.iface())
		if i == 0 {
			pod.Ports = r.ports()
		}
	}
	return pod
}

// iface is the pod's end of what a network made.
func (r *result) iface() Interface {
	i := Interface{Name: r.IfName, Network: r.NetworkName, Addresses: []string{}, Host: r.hostInterfaces()}
	p := r.parsed()
	if p == nil {
		return i
	}
	for _, made := range p.Interfaces {
		if made != nil && made.Sandbox != "" && made.Name == r.IfName {
			i.MAC = made.Mac
		}
	}
	for _, ip := range p.IPs {
		if ip != nil {
			i.Addresses = append(i.Addresses, ip.Address.String())
		}
	}
	return i
}

// ports are those that the plugins were told of.
func (r *result) ports() (ports []Port) {
	list, _ := r.CapabilityArgs["portMappings"].([]any)
	for _, one := range list {
		m, ok := one.(map[string]any)
		if !ok {
			continue
		}
		host, _ := m["hostPort"].(float64)
		container, _ := m["containerPort"].(float64)
		p := Port{HostPort: int(host), ContainerPort: int(container)}
		p.HostIP, _ = m["hostIP"].(string)
		p.Protocol, _ = m["protocol"].(string)
		ports = append(ports, p)
	}
	return ports
}
