// SPDX-License-Identifier: Apache-2.0

package netcheck

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	maxAnswer = 64 << 20
	patience  = 10 * time.Second // for one answer
)

// daemon is a connection to a CRI server.
type daemon struct {
	conn    *grpc.ClientConn
	runtime cri.RuntimeServiceClient
}

func connect(address string) (*daemon, error) {
	conn, err := grpc.NewClient("unix://"+strings.TrimPrefix(address, "unix://"),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return &daemon{conn: conn, runtime: cri.NewRuntimeServiceClient(conn)}, nil
}

func (d *daemon) close() { d.conn.Close() }

// pods lists all pods by id.
func (d *daemon) pods(ctx context.Context) (map[string]*cri.PodSandbox, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	list, err := d.runtime.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w: %s", errdefs.ErrUnavailable, status.Convert(err).Message())
	}
	pods := make(map[string]*cri.PodSandbox, len(list.Items))
	for _, p := range list.Items {
		pods[p.Id] = p
	}
	return pods, nil
}

// hasHostNetwork reports whether a pod has no network of its own. A pod that went away meanwhile has one.
func (d *daemon) hasHostNetwork(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer, err := d.runtime.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: id})
	return err == nil && answer.GetStatus().GetLinux().GetNamespaces().GetOptions().GetNetwork() == cri.NamespaceMode_NODE
}
