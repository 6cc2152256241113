// SPDX-License-Identifier: Apache-2.0

package differential

import (
	"bytes"
	"context"
	"os/exec"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/cni/libcni"
)

// actor calls plugins: the reference's or ours.
type actor struct {
	*libcni.CNIConfig
	close func() error
}

// cacheDir is libcni's: both kinds of plugins see what the other's ADD has returned.
const cacheDir = "/run/cache"

func reference(programs string) *actor {
	return &actor{libcni.NewCNIConfigWithCacheDir([]string{programs}, cacheDir, newPrograms()), func() error { return nil }}
}

func newPrograms() invoke.Exec {
	return &struct {
		*invoke.RawExec
		version.PluginDecoder
	}{RawExec: &invoke.RawExec{Stderr: &bytes.Buffer{}}}
}

// shell runs a script in the world.
func shell(ctx context.Context, script string) ([]byte, error) {
	return exec.CommandContext(ctx, "sh", "-euc", script).CombinedOutput()
}
