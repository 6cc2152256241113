// SPDX-License-Identifier: Apache-2.0

package network

import "context"

// Attachment asks for a pod's networks.
type Attachment struct {
	ID              string // of the pod sandbox: CNI's container id
	Name, Namespace string // of the pod
	UID             string
	NetNS           string            // path by which a process of the host opens the network namespace
	Annotations     map[string]string // of the pod: kubernetes.io/ingress-bandwidth, egress-bandwidth
	PortMappings    []PortMapping
	DNS             DNS
	CgroupParent    string // capability cgroupPath
}

// PortMapping is a port of the host that leads to the pod.
type PortMapping struct {
	Protocol                string // tcp, udp, sctp
	ContainerPort, HostPort int32
	HostIP                  string
}

// DNS is what the pod's resolv.conf says.
type DNS struct{ Servers, Searches, Options []string }

// Result is what the plugins gave.
type Result struct {
	IP            string   // the pod's primary address
	AdditionalIPs []string // others, of the pod's interfaces
	Interfaces    []Interface
	Raw           []byte // the plugins' results, JSON, for the verbose status
}

// Interface of a pod.
type Interface struct {
	Name, MAC, Sandbox string
	Addresses          []string // CIDR
}

// Attacher is what pods need. *Networks implements it.
type Attacher interface {
	// Ready is nil when pods can be attached, or says why not: the kubelet's NetworkReady.
	Ready() error
	// Setup attaches. On error everything done so far is undone, or recorded to be undone later.
	Setup(ctx context.Context, a *Attachment) (*Result, error)
	// Teardown detaches the sandbox id, in its namespace at netns ("" when that is gone already). When a plugin
	// fails, it is tried again in the background until it succeeds and the error is returned. nil
	// when nothing is attached.
	Teardown(ctx context.Context, id, netns string) error
	// Keep is called once, after a start, with the sandboxes that exist: what else is recorded is
	// detached, and plugins with the verb GC are told.
	Keep(ctx context.Context, ids []string)
	// SetPodCIDR fills in the configured conf_template.
	SetPodCIDR(cidr string) error
}
