// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/throwaway"
)

// recoveryTimeout bounds the wait for a killed daemon's successor.
const recoveryTimeout = time.Minute

// retry is how often a socket is tried that nobody listens on yet.
const retry = time.Millisecond

// recovery kills the daemon with SIGKILL, starts it again, and returns how long
// it took from then until CRI listed the same pods and containers in the same
// states as before.
func recovery(ctx context.Context, d *throwaway.Daemon) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, recoveryTimeout)
	defer cancel()
	before, err := listCRI(ctx, d.Socket)
	if err != nil {
		return 0, fmt.Errorf("before the daemon is killed: %w", err)
	}
	network, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", d.PID))
	if err != nil {
		return 0, err
	}
	defer network.Close()
	d.Crash()
	began := time.Now()
	if err := inNetworkOf(network, d.Restart); err != nil {
		return 0, err
	}
	for {
		after, err := listCRI(ctx, d.Socket)
		if err == nil && maps.Equal(before, after) {
			return time.Since(began), nil
		}
		if ctx.Err() != nil {
			return 0, errors.Join(fmt.Errorf("%s after its start the daemon tells of %d pods and containers that are as before, of %d",
				recoveryTimeout, same(before, after), len(before)), err)
		}
		time.Sleep(retry)
	}
}

// same counts what is in both.
func same(before, after map[string]string) int {
	n := 0
	for id, state := range before {
		if after[id] == state {
			n++
		}
	}
	return n
}

// listCRI returns the states of all pods and containers by their ids. It waits
// for the daemon to serve CRI.
func listCRI(ctx context.Context, socket string) (map[string]string, error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: retry, MaxDelay: retry}, MinConnectTimeout: time.Second}),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	states := map[string]string{}
	for ctx.Err() == nil {
		if err = listInto(ctx, states, cri.NewRuntimeServiceClient(conn)); status.Code(err) != codes.Unavailable {
			break // it serves, but not everything yet, in the other case
		}
		time.Sleep(retry)
	}
	return states, err
}

func listInto(ctx context.Context, states map[string]string, client cri.RuntimeServiceClient) error {
	pods, err := client.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return err
	}
	containers, err := client.ListContainers(ctx, &cri.ListContainersRequest{})
	if err != nil {
		return err
	}
	for _, p := range pods.Items {
		states[p.Id] = p.State.String()
	}
	for _, c := range containers.Containers {
		states[c.Id] = c.State.String() + " in " + c.PodSandboxId
	}
	return nil
}
