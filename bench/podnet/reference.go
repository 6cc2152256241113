// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/containernetworking/cni/libcni"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"golang.org/x/sync/errgroup"
)

// reference is containerd's way, by libcni: the networks, lo among them, are attached at the same time and detached one after
// the other, by programs.
type reference struct {
	cni  *libcni.CNIConfig
	list *libcni.NetworkConfigList
	lo   *libcni.NetworkConfigList
}

const loopback = `{"cniVersion": "1.0.0", "name": "cni-loopback", "plugins": [{"type": "loopback"}]}`

func openReference(plugins, configuration, dir string) (attacher, error) {
	files, err := libcni.ConfFiles(configuration, []string{".conflist"})
	if err != nil || len(files) == 0 {
		return nil, errors.Join(fmt.Errorf("no configuration in %s", configuration), err)
	}
	r := &reference{cni: libcni.NewCNIConfigWithCacheDir([]string{plugins}, filepath.Join(dir, "cache"), nil)}
	if r.list, err = libcni.ConfListFromFile(files[0]); err != nil {
		return nil, err
	}
	r.lo, err = libcni.ConfListFromBytes([]byte(loopback))
	return r, err
}

func (p *pod) runtimeConf(ifName string) *libcni.RuntimeConf {
	return &libcni.RuntimeConf{
		ContainerID: p.id, NetNS: p.path(), IfName: ifName,
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "bench"}, {"K8S_POD_NAME", "pod"}, {"K8S_POD_INFRA_CONTAINER_ID", p.id}},
		CapabilityArgs: map[string]any{"portMappings": []map[string]any{
			{"hostPort": p.port, "containerPort": 80, "protocol": "tcp", "hostIP": ""},
		}},
	}
}

func (r *reference) add(ctx context.Context, p *pod) (address string, err error) {
	var both errgroup.Group
	both.Go(func() error {
		_, err := r.cni.AddNetworkList(ctx, r.lo, p.runtimeConf("lo"))
		return err
	})
	both.Go(func() error {
		added, err := r.cni.AddNetworkList(ctx, r.list, p.runtimeConf("eth0"))
		if err != nil {
			return err
		}
		result, err := types100.GetResult(added)
		if err != nil || len(result.IPs) == 0 {
			return errors.Join(errors.New("no address"), err)
		}
		address = result.IPs[0].Address.IP.String()
		return nil
	})
	err = both.Wait()
	return address, err
}

func (r *reference) del(ctx context.Context, p *pod) error {
	return errors.Join(r.cni.DelNetworkList(ctx, r.list, p.runtimeConf("eth0")), r.cni.DelNetworkList(ctx, r.lo, p.runtimeConf("lo")))
}

func (r *reference) close() error { return nil }
