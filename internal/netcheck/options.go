// SPDX-License-Identifier: Apache-2.0

package netcheck

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
)

// Options say where to look.
type Options struct {
	Address     string   // CRI socket of the daemon
	State, Root string   // directories of the daemon, as in its configuration
	ConfDir     string   // of CNI configurations
	OtherCaches []string // results of other runtimes that attach to the same networks
	// Pause is between two looks, 0 for the default. What the daemon leaves to the kernel takes a second.
	Pause time.Duration
}

const (
	defaultPause = 2500 * time.Millisecond
	// plugin is the name of the CRI server's directories.
	plugin = "io.containerd.grpc.v1.cri"
)

func (o Options) complete() (Options, error) {
	for name, dir := range map[string]string{"state": o.State, "root": o.Root, "cni-conf-dir": o.ConfDir} {
		if !filepath.IsAbs(dir) {
			return o, fmt.Errorf("%s is %q, not an absolute path: %w", name, dir, errdefs.ErrInvalidArgument)
		}
	}
	if o.Pause <= 0 {
		o.Pause = defaultPause
	}
	return o, nil
}

func (o *Options) records() string    { return filepath.Join(o.State, plugin, "network", "attachments") }
func (o *Options) sandboxes() string  { return filepath.Join(o.State, plugin, "pods") }
func (o *Options) namespaces() string { return filepath.Join(o.State, plugin, "namespaces") }
func (o *Options) cache() string      { return filepath.Join(o.Root, plugin, "cni") }

// defaultNetwork is the directory of host-local's files of the network without a configuration.
func (o *Options) defaultNetwork() string { return filepath.Join(o.cache(), "default", "networks") }
