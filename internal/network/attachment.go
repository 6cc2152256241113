// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/utils"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Attachment asks for a pod's networks.
type Attachment struct {
	ID              string // of the pod sandbox: CNI's container id
	Name, Namespace string // of the pod
	UID             string
	Handler         string            // the runtime handler, when it has networks of its own
	NetNS           string            // path by which a process of the host opens the network namespace
	LoopbackUp      bool              // lo is up already: who made the namespace has done it, and spared a thread here
	Annotations     map[string]string // of the pod: kubernetes.io/ingress-bandwidth, egress-bandwidth
	PortMappings    []PortMapping
	DNS             DNS
	CgroupParent    string // capability cgroupPath
}

// PortMapping is a port of the host that leads to the pod. Without a HostPort it leads nowhere
// and no plugin is told.
type PortMapping struct {
	Protocol                string // tcp, udp, sctp
	ContainerPort, HostPort int32
	HostIP                  string
}

// DNS is what the pod's resolv.conf says.
type DNS struct{ Servers, Searches, Options []string }

// Names of capabilities, https://www.cni.dev/docs/conventions/#well-known-capabilities,
// and containerd's own for the annotations.
const (
	capPortMappings = "portMappings"
	capBandwidth    = "bandwidth"
	capDNS          = "dns"
	capIPRanges     = "ipRanges"
	capCgroupPath   = "cgroupPath"
	capAnnotations  = "io.kubernetes.cri.pod-annotations"
)

// check refuses what no plugin could be told. ErrInvalidArgument.
func (a *Attachment) check() error {
	if err := utils.ValidateContainerID(a.ID); err != nil {
		return fmt.Errorf("pod sandbox %q: %w: %w", a.ID, err, errdefs.ErrInvalidArgument)
	}
	if a.NetNS == "" {
		return fmt.Errorf("pod sandbox %s: no network namespace to attach: %w", a.ID, errdefs.ErrInvalidArgument)
	}
	for _, kv := range a.args() {
		// CNI_ARGS has no quoting: such a value would become further arguments.
		if strings.ContainsAny(kv[1], ";=\x00") {
			return fmt.Errorf("pod sandbox %s: %s: %q contains ; or =: %w", a.ID, kv[0], kv[1], errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

// args are CNI_ARGS as kubelets have always set them.
func (a *Attachment) args() [][2]string {
	return [][2]string{
		{"IgnoreUnknown", "1"},
		{"K8S_POD_NAMESPACE", a.Namespace},
		{"K8S_POD_NAME", a.Name},
		{"K8S_POD_INFRA_CONTAINER_ID", a.ID},
		{"K8S_POD_UID", a.UID},
	}
}

// capabilities are the values that plugins ask for in their configuration, by name. podCIDRs are
// the node's. ErrInvalidArgument for a bandwidth that is none.
func (a *Attachment) capabilities(podCIDRs []string) (map[string]json.RawMessage, error) {
	limits, err := bandwidthOf(a.Annotations)
	if err != nil {
		return nil, fmt.Errorf("pod sandbox %s: %w: %w", a.ID, err, errdefs.ErrInvalidArgument)
	}
	values := map[string]any{
		capAnnotations: a.Annotations,
		capDNS:         dnsConfig{a.DNS.Servers, a.DNS.Searches, a.DNS.Options},
	}
	if limits != nil {
		values[capBandwidth] = limits
	}
	if ports := a.ports(); len(ports) > 0 {
		values[capPortMappings] = ports
	}
	if len(podCIDRs) > 0 {
		values[capIPRanges] = ranges(podCIDRs)
	}
	if a.CgroupParent != "" {
		values[capCgroupPath] = a.CgroupParent
	}
	return rawValues(values)
}

func rawValues(values map[string]any) (map[string]json.RawMessage, error) {
	raw := make(map[string]json.RawMessage, len(values))
	for name, v := range values {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("capability %s: %w: %w", name, err, errdefs.ErrInvalidArgument)
		}
		raw[name] = text
	}
	return raw, nil
}

type portMapping struct {
	HostPort      int32  `json:"hostPort"`
	ContainerPort int32  `json:"containerPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP,omitempty"`
}

func (a *Attachment) ports() []portMapping {
	var ports []portMapping
	for _, p := range a.PortMappings {
		if p.HostPort > 0 {
			ports = append(ports, portMapping{p.HostPort, p.ContainerPort, strings.ToLower(p.Protocol), p.HostIP})
		}
	}
	return ports
}

type dnsConfig struct {
	Servers  []string `json:"servers,omitempty"`
	Searches []string `json:"searches,omitempty"`
	Options  []string `json:"options,omitempty"`
}

type ipRange struct {
	Subnet string `json:"subnet"`
}

// ranges has a set for each address family, as host-local expects: one address is taken of each set.
func ranges(cidrs []string) [][]ipRange {
	sets := make([][]ipRange, len(cidrs))
	for i, cidr := range cidrs {
		sets[i] = []ipRange{{Subnet: cidr}}
	}
	return sets
}

// bandwidth is in bits per second, bursts in bits.
type bandwidth struct {
	IngressRate  int64 `json:"ingressRate,omitempty"`
	IngressBurst int64 `json:"ingressBurst,omitempty"`
	EgressRate   int64 `json:"egressRate,omitempty"`
	EgressBurst  int64 `json:"egressBurst,omitempty"`
}

// bandwidthOf reads the pod's annotations, nil when there are none. The burst is as large as the
// kernel's token bucket allows, which is what kubelets have always asked for.
func bandwidthOf(annotations map[string]string) (*bandwidth, error) {
	var limits bandwidth
	var err error
	if limits.IngressRate, err = rate(annotations, "kubernetes.io/ingress-bandwidth"); err != nil {
		return nil, err
	}
	if limits.EgressRate, err = rate(annotations, "kubernetes.io/egress-bandwidth"); err != nil {
		return nil, err
	}
	if limits.IngressRate > 0 {
		limits.IngressBurst = math.MaxUint32
	}
	if limits.EgressRate > 0 {
		limits.EgressBurst = math.MaxUint32
	}
	if limits == (bandwidth{}) {
		return nil, nil
	}
	return &limits, nil
}

// rate is 0 when the annotation is missing. Kubernetes accepts 1k to 1P.
func rate(annotations map[string]string, name string) (int64, error) {
	text, ok := annotations[name]
	if !ok {
		return 0, nil
	}
	quantity, err := resource.ParseQuantity(text)
	if err != nil {
		return 0, fmt.Errorf("annotation %s: %q: %w", name, text, err)
	}
	if v := quantity.Value(); v < 1e3 || v > 1e15 {
		return 0, fmt.Errorf("annotation %s: %q is not between 1k and 1P bits per second", name, text)
	}
	return quantity.Value(), nil
}
