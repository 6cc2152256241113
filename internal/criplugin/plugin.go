// SPDX-License-Identifier: Apache-2.0

package criplugin

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync/atomic"

	containers "github.com/containerd/containerd/api/services/containers/v1"
	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/plugins/services"
	"github.com/containerd/log"
	"github.com/containerd/plugin"
	"google.golang.org/grpc"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/crirouter"
	"github.com/sardine-run/sardine/internal/pod"
)

// Plugins of containerd that are taken over.
var (
	serverURI     = uri(plugins.GRPCPlugin, "cri")
	runtimeURI    = uri(plugins.CRIServicePlugin, "runtime")
	imagesURI     = uri(plugins.CRIServicePlugin, "images")
	podSandboxURI = uri(plugins.PodSandboxPlugin, "podsandbox")
	nriURI        = uri(plugins.NRIApiPlugin, "nri")
	containersURI = uri(plugins.ServicePlugin, services.ContainersService)
	tasksURI      = uri(plugins.ServicePlugin, services.TasksService)
)

func uri(t plugin.Type, id string) string { return t.String() + "." + id }

// assembly is what the plugins that are taken over share.
type assembly struct {
	version string
	// The registrations of containerd, whose Config holds what was read from the file when the server is
	// initialized.
	stock map[string]plugin.Registration
	pods  atomic.Pointer[pod.Manager] // for the containers service
	shims atomic.Bool                 // containerd's own CRI server runs too
}

// Take puts our CRI server in the place of containerd's in a list of registrations, and returns it with what ours needs beside. version is
// reported to clients.
func Take(registrations []plugin.Registration, version string) ([]plugin.Registration, error) {
	a := &assembly{version: version, stock: map[string]plugin.Registration{}}
	for i := range registrations {
		r := &registrations[i]
		a.stock[r.URI()] = *r
		switch r.URI() {
		case serverURI:
			// The task runtime, whose containers pods are made of, and what images stand on.
			r.Requires = append(slices.Clone(r.Requires), plugins.RuntimePluginV2, plugins.MetadataPlugin, plugins.SnapshotPlugin, plugins.ImageVerifierPlugin, sardineType)
			r.InitFn = a.initialize
		case imagesURI:
			r.Requires = append(slices.Clone(r.Requires), plugins.RuntimePluginV2)
			r.InitFn = a.forShims(r.InitFn)
		case podSandboxURI:
			r.Requires = append(slices.Clone(r.Requires), plugins.RuntimePluginV2)
			r.InitFn = a.forShims(r.InitFn)
		case nriURI:
			// Ours is part of the CRI server; two would want the same socket.
			r.InitFn = func(*plugin.InitContext) (any, error) { return nil, plugin.ErrSkipPlugin }
		case containersURI:
			r.InitFn = a.initContainers
		case tasksURI:
			r.InitFn = a.initTasks
		}
	}
	for _, name := range []string{serverURI, runtimeURI, imagesURI, podSandboxURI, nriURI, containersURI, tasksURI} {
		if _, ok := a.stock[name]; !ok {
			return nil, fmt.Errorf("containerd registered no plugin %s", name)
		}
	}
	// Plugins of one type are initialized in the order of the list. The runtime's configuration says
	// whether the others are needed.
	slices.SortStableFunc(registrations, func(a, b plugin.Registration) int {
		return rank(a) - rank(b)
	})
	return append(registrations, networkRegistration()), nil
}

func rank(r plugin.Registration) int {
	if r.URI() == runtimeURI {
		return 0
	}
	return 1
}

// forShims makes a part of containerd's own CRI server only if a shim's handler needs it: they have goroutines that
// poll.
func (a *assembly) forShims(init func(*plugin.InitContext) (any, error)) func(*plugin.InitContext) (any, error) {
	return func(ic *plugin.InitContext) (any, error) {
		settings, err := a.runtimeSettings()
		if err != nil {
			return nil, err
		}
		engine, err := taskEngine(ic)
		if err != nil {
			return nil, err
		}
		if len(shimHandlers(settings, engine.StockRunc)) == 0 {
			return nil, fmt.Errorf("no runtime handler uses a shim: %w", plugin.ErrSkipPlugin)
		}
		return init(ic)
	}
}

// initContainers makes containerd's containers service, with the containers of pods in it.
func (a *assembly) initContainers(ic *plugin.InitContext) (any, error) {
	instance, err := a.stock[containersURI].InitFn(ic)
	if err != nil {
		return nil, err
	}
	client, ok := instance.(containers.ContainersClient)
	if !ok {
		return nil, fmt.Errorf("containerd's containers service is a %T", instance)
	}
	return &containersView{ContainersClient: client, pods: &a.pods, stock: &a.shims}, nil
}

// initTasks makes containerd's tasks service, with the containers of pods in it.
func (a *assembly) initTasks(ic *plugin.InitContext) (any, error) {
	instance, err := a.stock[tasksURI].InitFn(ic)
	if err != nil {
		return nil, err
	}
	client, ok := instance.(tasks.TasksClient)
	if !ok {
		return nil, fmt.Errorf("containerd's tasks service is a %T", instance)
	}
	return &tasksView{TasksClient: client, containers: &containersView{pods: &a.pods, stock: &a.shims}}, nil
}

func (a *assembly) runtimeSettings() (*runtimeSettings, error) {
	settings := &runtimeSettings{}
	return settings, convert(a.stock[runtimeURI].Config, settings)
}

// initialize makes the CRI server.
func (a *assembly) initialize(ic *plugin.InitContext) (_ any, err error) {
	b := &builder{assembly: a, ic: ic}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	for _, step := range []func() error{
		b.readSettings, b.findEngine, b.findNetworkSettings, b.checkRecords, b.openImages, b.openNetworks, b.openLogs, b.openSpecs, b.openPods, b.openProbes, b.openSessions, b.openStock, b.registerMetrics,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	a.shims.Store(b.stockCRI != nil)
	a.pods.Store(b.pods)
	ready := ic.RegisterReadiness()
	defer ready()
	s := &server{RuntimeServiceServer: b.runtimeService(), ImageServiceServer: b.imageService(), close: b.close}
	if b.server.DisableTCPService {
		return s, nil
	}
	return tcpServer{s}, nil
}

// server is the plugin's instance: the two services of CRI.
type server struct {
	runtime.RuntimeServiceServer
	runtime.ImageServiceServer
	close func() error
}

var _ io.Closer = (*server)(nil)

// Register adds the services to containerd's gRPC server.
func (s *server) Register(g *grpc.Server) error {
	if r, ok := s.RuntimeServiceServer.(*crirouter.Router); ok {
		r.Register(g)
	} else {
		runtime.RegisterRuntimeServiceServer(g, s.RuntimeServiceServer)
	}
	runtime.RegisterImageServiceServer(g, s.ImageServiceServer)
	return nil
}

// Close ends the server. Pods run on.
func (s *server) Close() error {
	if err := s.close(); err != nil {
		log.L.WithError(err).Warn("close the CRI server")
	}
	return nil
}

// tcpServer serves on the TCP socket too.
type tcpServer struct{ *server }

// RegisterTCP adds the services to containerd's gRPC server on TCP.
func (s tcpServer) RegisterTCP(g *grpc.Server) error { return s.Register(g) }

// stateDir and rootDir are containerd's own for CRI, so that tools find things where they were.
func stateDir(ic *plugin.InitContext) string {
	return filepath.Join(filepath.Dir(ic.Properties[plugins.PropertyStateDir]), serverURI)
}

func rootDir(ic *plugin.InitContext) string {
	return filepath.Join(filepath.Dir(ic.Properties[plugins.PropertyRootDir]), serverURI)
}
