// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"context"
	"encoding/json"
	"time"

	"github.com/containerd/errdefs"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/pod"
)

// RunPodSandbox makes a pod.
func (s *Service) RunPodSandbox(ctx context.Context, req *runtime.RunPodSandboxRequest) (*runtime.RunPodSandboxResponse, error) {
	cfg := req.GetConfig()
	if cfg == nil {
		return nil, fail(invalid("config is missing"))
	}
	if cfg.Metadata == nil || cfg.Metadata.Name == "" {
		return nil, fail(invalid("config.metadata: the name of the pod is missing"))
	}
	sandbox, err := s.Pods.RunSandbox(ctx, cfg, req.RuntimeHandler)
	if err != nil {
		return nil, fail(err)
	}
	return &runtime.RunPodSandboxResponse{PodSandboxId: sandbox.ID}, nil
}

// StopPodSandbox ends a pod. One that does not exist is stopped.
func (s *Service) StopPodSandbox(ctx context.Context, req *runtime.StopPodSandboxRequest) (*runtime.StopPodSandboxResponse, error) {
	sandbox, err := s.Pods.Sandbox(req.PodSandboxId)
	if errdefs.IsNotFound(err) {
		return &runtime.StopPodSandboxResponse{}, nil
	}
	if err == nil {
		err = sandbox.Stop(ctx)
	}
	return result(&runtime.StopPodSandboxResponse{}, err)
}

// RemovePodSandbox removes a pod. One that does not exist is removed.
func (s *Service) RemovePodSandbox(ctx context.Context, req *runtime.RemovePodSandboxRequest) (*runtime.RemovePodSandboxResponse, error) {
	sandbox, err := s.Pods.Sandbox(req.PodSandboxId)
	if errdefs.IsNotFound(err) {
		return &runtime.RemovePodSandboxResponse{}, nil
	}
	if err == nil {
		err = sandbox.Remove(ctx)
	}
	return result(&runtime.RemovePodSandboxResponse{}, err)
}

// PodSandboxStatus tells the status of a pod and, for evented PLEG, of its containers.
func (s *Service) PodSandboxStatus(_ context.Context, req *runtime.PodSandboxStatusRequest) (*runtime.PodSandboxStatusResponse, error) {
	sandbox, err := s.Pods.Sandbox(req.PodSandboxId)
	if err != nil {
		return nil, fail(err)
	}
	response := &runtime.PodSandboxStatusResponse{}
	response.Timestamp, response.Status, response.ContainersStatuses = everything(sandbox)
	if req.Verbose {
		response.Info, err = sandboxInfo(sandbox)
	}
	return result(response, err)
}

// everything is the status of a pod and its containers, and of when, in nanoseconds. A kubelet keeps what has the latest time and takes
// what is older for no news, so the time is from before the look, and that of newer content is later.
func everything(s *pod.Sandbox) (at int64, sandbox *runtime.PodSandboxStatus, containers []*runtime.ContainerStatus) {
	s.Look(func(now time.Time) {
		at, sandbox, containers = now.UnixNano(), sandboxStatus(s), containerStatuses(s)
	})
	return at, sandbox, containers
}

func sandboxStatus(s *pod.Sandbox) *runtime.PodSandboxStatus {
	now := s.Status()
	status := &runtime.PodSandboxStatus{
		Id: s.ID, Metadata: s.Metadata, State: sandboxState(now), CreatedAt: s.Created.UnixNano(),
		Labels: s.Labels, Annotations: s.Annotations, RuntimeHandler: s.HandlerName,
		Network: &runtime.PodSandboxNetworkStatus{Ip: now.Network.IP},
		Linux: &runtime.LinuxPodSandboxStatus{Namespaces: &runtime.Namespace{
			Options: s.Config().GetLinux().GetSecurityContext().GetNamespaceOptions(),
		}},
	}
	for _, ip := range now.Network.AdditionalIPs {
		status.Network.AdditionalIps = append(status.Network.AdditionalIps, &runtime.PodIP{Ip: ip})
	}
	return status
}

func sandboxState(s pod.SandboxStatus) runtime.PodSandboxState {
	if s.Ready {
		return runtime.PodSandboxState_SANDBOX_READY
	}
	return runtime.PodSandboxState_SANDBOX_NOTREADY
}

// sandboxInfo is what crictl inspectp shows, in the form that tools expect from containerd.
func sandboxInfo(s *pod.Sandbox) (map[string]string, error) {
	type namespace struct {
		Type string `json:"type"`
		Path string `json:"path,omitempty"`
	}
	spaces := []namespace{}
	for kind, path := range s.Namespaces() {
		spaces = append(spaces, namespace{string(kind), path})
	}
	network := s.Status().Network
	return info(map[string]any{
		"pid":            s.Pid(),
		"processStatus":  "none", // a pod has no process of its own
		"netNamespace":   s.NetNS(),
		"runtimeHandler": s.HandlerName,
		"runtimeType":    "io.containerd.sardine.v1",
		"config":         s.Config(),
		"cniResult":      json.RawMessage(orNull(network.Raw)),
		"runtimeSpec":    map[string]any{"linux": map[string]any{"namespaces": spaces}},
	})
}

func orNull(raw []byte) []byte {
	if len(raw) == 0 || !json.Valid(raw) {
		return []byte("null")
	}
	return raw
}

func info(v any) (map[string]string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return map[string]string{"info": string(text)}, nil
}

// UpdatePodSandboxResources notes the pod's resources; its cgroup is the kubelet's own.
func (s *Service) UpdatePodSandboxResources(ctx context.Context, req *runtime.UpdatePodSandboxResourcesRequest) (*runtime.UpdatePodSandboxResourcesResponse, error) {
	sandbox, err := s.Pods.Sandbox(req.PodSandboxId)
	if err == nil {
		err = sandbox.UpdateResources(ctx, req.Overhead, req.Resources)
	}
	return result(&runtime.UpdatePodSandboxResourcesResponse{}, err)
}
