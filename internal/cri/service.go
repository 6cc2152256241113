// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"context"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/pod"
	"github.com/sardine-run/sardine/internal/podstats"
	"github.com/sardine-run/sardine/internal/stream"
)

// Config is what a Service works with. It owns none of it.
type Config struct {
	Pods     *pod.Manager
	Sessions *stream.Server
	Stats    *podstats.Reader
	Version  string // of the runtime

	// LayerMount is the mount point of the file system of writable layers.
	LayerMount string

	SystemdCgroup bool // how the kubelet is to name cgroups
	Features      Features
	// Info is the configuration, for the verbose status.
	Info map[string]string
}

// Features are those of all runtime handlers.
type Features struct{ RecursiveReadOnlyMounts, UserNamespaces bool }

// Service is the CRI RuntimeService. Its methods may be called concurrently.
type Service struct {
	Config
	runtime.UnimplementedRuntimeServiceServer
}

var _ runtime.RuntimeServiceServer = (*Service)(nil)

// New returns a Service.
func New(cfg Config) *Service { return &Service{Config: cfg} }

// fail gives an error its gRPC status: that of its errdefs class. An error that is a status stays.
func fail(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	return errgrpc.ToGRPC(err)
}

// result gives an error its gRPC status.
func result[T any](response *T, err error) (*T, error) {
	if err != nil {
		return nil, fail(err)
	}
	return response, nil
}

// Version tells the runtime's name and versions.
func (s *Service) Version(context.Context, *runtime.VersionRequest) (*runtime.VersionResponse, error) {
	return &runtime.VersionResponse{
		Version: kubeletAPIVersion, RuntimeName: runtimeName, RuntimeVersion: s.Config.Version, RuntimeApiVersion: runtimeAPIVersion,
	}, nil
}

const (
	kubeletAPIVersion = "0.1.0"
	runtimeName       = "sardine"
	runtimeAPIVersion = "v1"
)

// UpdateRuntimeConfig takes the node's pod network.
func (s *Service) UpdateRuntimeConfig(_ context.Context, req *runtime.UpdateRuntimeConfigRequest) (*runtime.UpdateRuntimeConfigResponse, error) {
	cidr := req.GetRuntimeConfig().GetNetworkConfig().GetPodCidr()
	if cidr == "" {
		return &runtime.UpdateRuntimeConfigResponse{}, nil
	}
	return result(&runtime.UpdateRuntimeConfigResponse{}, s.Pods.Networks.SetPodCIDR(cidr))
}

// RuntimeConfig tells the cgroup driver.
func (s *Service) RuntimeConfig(context.Context, *runtime.RuntimeConfigRequest) (*runtime.RuntimeConfigResponse, error) {
	driver := runtime.CgroupDriver_CGROUPFS
	if s.SystemdCgroup {
		driver = runtime.CgroupDriver_SYSTEMD
	}
	return &runtime.RuntimeConfigResponse{Linux: &runtime.LinuxRuntimeConfiguration{CgroupDriver: driver}}, nil
}

// CheckpointContainer is refused.
func (s *Service) CheckpointContainer(context.Context, *runtime.CheckpointContainerRequest) (*runtime.CheckpointContainerResponse, error) {
	return nil, fail(noCheckpoint)
}

// CheckpointPod is refused.
func (s *Service) CheckpointPod(context.Context, *runtime.CheckpointPodRequest) (*runtime.CheckpointPodResponse, error) {
	return nil, fail(noCheckpoint)
}

// RestorePod is refused.
func (s *Service) RestorePod(context.Context, *runtime.RestorePodRequest) (*runtime.RestorePodResponse, error) {
	return nil, fail(noCheckpoint)
}

var noCheckpoint = notImplemented("checkpoint and restore are not supported: this runtime has no CRIU")

type classed struct {
	text  string
	class error
}

func (e classed) Error() string { return e.text }
func (e classed) Unwrap() error { return e.class }

func notImplemented(text string) error { return classed{text, errdefs.ErrNotImplemented} }
func invalid(text string) error        { return classed{text, errdefs.ErrInvalidArgument} }
