// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/sardine-run/sardine/internal/cniplugin/builtin"
	"github.com/sardine-run/sardine/internal/network"
)

// inside is sardined's own, with plugins as functions.
type inside struct {
	networks *network.Networks
	plugins  *builtin.Plugins
}

func openInside(plugins, configuration, dir string) (attacher, error) {
	all, err := builtin.New()
	if err != nil {
		return nil, err
	}
	networks, err := network.New(network.Config{
		BinDirs: []string{plugins}, ConfDir: configuration, MaxConfNum: 1, Plugins: all.Set,
		StateDir: filepath.Join(dir, "state"), CacheDir: filepath.Join(dir, "cache"), OtherCaches: []string{},
	})
	if err != nil {
		return nil, errors.Join(err, all.Close())
	}
	networks.Keep(context.Background(), nil)
	return &inside{networks, all}, nil
}

func (i *inside) add(ctx context.Context, p *pod) (string, error) {
	result, err := i.networks.Setup(ctx, &network.Attachment{
		ID: p.id, Name: "pod", Namespace: "bench", UID: p.id[:36], NetNS: p.path(), LoopbackUp: true,
		PortMappings: []network.PortMapping{{Protocol: "tcp", ContainerPort: 80, HostPort: int32(p.port)}},
	})
	if err != nil {
		return "", err
	}
	return result.IP, nil
}

func (i *inside) del(ctx context.Context, p *pod) error {
	return i.networks.Teardown(ctx, p.id, p.path())
}

func (i *inside) close() error { return errors.Join(i.networks.Close(), i.plugins.Close()) }
