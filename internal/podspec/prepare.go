// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"errors"
	"os"

	"github.com/containerd/containerd/v2/contrib/apparmor"
	"github.com/opencontainers/selinux/go-selinux/label"
	"golang.org/x/sys/unix"
)

// Prepare does on the host what the spec relies on. It is the only function here that
// changes anything, is called before the container is launched, and may be called again.
func (r *Result) Prepare() error {
	for _, dir := range r.Directories {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return unready("make the source of a mount: %v", err)
		}
	}
	for _, path := range r.Relabel {
		if err := label.Relabel(path, r.Spec.Linux.MountLabel, false); err != nil && !errors.Is(err, unix.ENOTSUP) {
			return unready("relabel %q: %v", path, err)
		}
	}
	if !r.DefaultAppArmor {
		return nil
	}
	if err := apparmor.LoadDefaultProfile(DefaultAppArmorProfile); err != nil {
		return unready("load AppArmor profile %s: %v", DefaultAppArmorProfile, err)
	}
	return nil
}
