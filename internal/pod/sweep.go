// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/containerd/log"

	"github.com/sardine-run/sardine/internal/cgroup"
)

// sweepCgroups removes the cgroups of containers of which nothing but a writable layer is known: the records were lost, but
// not the cgroups, as when the state directory is emptied on a node that runs on. The ids are random, so who has one for a name
// was made for it; one with a process stays.
func sweepCgroups(host *cgroup.Host, ids []string) {
	gone := map[string]bool{}
	for _, id := range ids {
		gone[id] = true
	}
	found := map[string]bool{}
	for _, m := range host.Mounts() {
		_ = filepath.WalkDir(m.Mountpoint, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() { // it may go meanwhile
				return nil
			}
			if len(d.Name()) == idLength && gone[d.Name()] {
				found[strings.TrimPrefix(path, m.Mountpoint)] = true
				return fs.SkipDir
			}
			return nil
		})
	}
	for path := range found {
		if err := host.Prune(path); err != nil {
			log.L.WithError(err).WithField("cgroup", path).Warn("remove the cgroup of a container that is gone")
		}
	}
}
