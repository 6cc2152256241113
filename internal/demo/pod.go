// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/session"
)

const (
	// criNamespace is where the CRI server has its images.
	criNamespace = "k8s.io"
	// imagePatience bounds waiting for CRI to learn of an imported image.
	imagePatience = 10 * time.Second
	podTimeout    = time.Minute
	// hostPort leads to the pod's port 80.
	hostPort = 8080
)

// ownPIDs is what kubelets ask for.
var ownPIDs = &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER}

// pod is one with an HTTP server, by CRI as a kubelet would make it.
type pod struct {
	show    *show
	runtime cri.RuntimeServiceClient
	images  cri.ImageServiceClient
	image   string
	config  *cri.PodSandboxConfig
	id      string
	ready   time.Duration // from the first call to the running program
}

// showPod shows a pod with an address of the daemon's own network.
func (s *show) showPod(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, podTimeout)
	defer cancel()
	tiny, err := session.Open(ctx, session.Where{Address: s.daemon.Socket, Namespace: criNamespace, Shared: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tiny.Close(ctx)) }()
	conn, err := grpc.NewClient("unix://"+s.daemon.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	p := &pod{show: s, runtime: cri.NewRuntimeServiceClient(conn), images: cri.NewImageServiceClient(conn), image: tiny.Image.Name()}
	p.configure()
	if err := p.perform(ctx); err != nil {
		return fmt.Errorf("a pod on the default network: %w", err)
	}
	return nil
}

// configure gives the pod the cgroup of the demonstration's containers, which goes with them.
func (p *pod) configure() {
	name := filepath.Base(p.show.daemon.Dir)
	p.config = &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: "web", Namespace: "demo", Uid: name}, Hostname: "web",
		LogDirectory: p.show.daemon.Dir, PortMappings: []*cri.PortMapping{{ContainerPort: 80, HostPort: hostPort}},
		Linux: &cri.LinuxPodSandboxConfig{CgroupParent: "/" + name, SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: ownPIDs}},
	}
}

func (p *pod) perform(ctx context.Context) (err error) {
	if err := p.awaitImage(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.remove(ctx)) }()
	if err := p.start(ctx); err != nil {
		return err
	}
	return p.report(ctx)
}

func (p *pod) awaitImage(ctx context.Context) error {
	for deadline := time.Now().Add(imagePatience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		status, err := p.images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: p.image}})
		if err != nil || status.Image != nil {
			return err
		}
	}
	return fmt.Errorf("CRI does not see the imported image %s", p.image)
}

func (p *pod) start(ctx context.Context) error {
	began := time.Now()
	made, err := p.runtime.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: p.config})
	if err != nil {
		return err
	}
	p.id = made.PodSandboxId
	container, err := p.runtime.CreateContainer(ctx, &cri.CreateContainerRequest{
		PodSandboxId: p.id, SandboxConfig: p.config, Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: "server"}, Image: &cri.ImageSpec{Image: p.image}, LogPath: "web.log",
			Command: []string{"/server", ServeArgument},
			Mounts:  []*cri.Mount{{HostPath: p.show.options.Server, ContainerPath: "/server", Readonly: true}},
			Linux:   &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{NamespaceOptions: ownPIDs}},
		},
	})
	if err != nil {
		return err
	}
	if _, err := p.runtime.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: container.ContainerId}); err != nil {
		return err
	}
	p.ready = time.Since(began)
	return nil
}

// report asks the pod by its address and by the host's port.
func (p *pod) report(ctx context.Context) error {
	status, err := p.runtime.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: p.id})
	if err != nil {
		return err
	}
	network := status.GetStatus().GetNetwork()
	addresses := []string{network.GetIp()}
	for _, ip := range network.GetAdditionalIps() {
		addresses = append(addresses, ip.Ip)
	}
	p.show.display.Line("started a pod with a network of its own, without any CNI plugin, in %s: %s", ms(p.ready), strings.Join(addresses, ", "))
	text, took, err := get(ctx, p.show.host, addresses[0], 80)
	if err != nil {
		return err
	}
	p.show.display.Line("  GET http://%s/ from the host: %q (%s)", addresses[0], text, ms(took))
	gateway, err := bridgeAddress(p.show.host)
	if err != nil {
		return err
	}
	if text, took, err = get(ctx, p.show.host, gateway, hostPort); err != nil {
		return err
	}
	p.show.display.Line("  GET http://%s:%d/, a port of the host: %q (%s)", gateway, hostPort, text, ms(took))
	return nil
}

// remove also works after ctx was cancelled.
func (p *pod) remove(ctx context.Context) error {
	if p.id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), podTimeout)
	defer cancel()
	_, err := p.runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.id})
	return err
}
