// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	"tags.cncf.io/container-device-interface/pkg/cdi"
)

// cdiEdits injects the devices named by the request and by its cdi.k8s.io/ annotations. It
// comes last: a device may bring variables, mounts and hooks, which nothing must reset.
func (t *translation) cdiEdits() error {
	names, err := t.cdiNames()
	if err != nil {
		return err
	}
	return t.cdi.inject(t.spec, names)
}

func (t *translation) cdiNames() ([]string, error) {
	var names []string
	for _, d := range t.config.GetCDIDevices() {
		names = append(names, d.GetName())
	}
	_, annotated, err := cdi.ParseAnnotations(t.config.GetAnnotations())
	if err != nil {
		return nil, invalid("annotations: CDI devices: %v", err)
	}
	names = append(names, annotated...)
	seen := map[string]bool{}
	return slices.DeleteFunc(names, func(n string) bool {
		twice := seen[n]
		seen[n] = true
		return twice
	}), nil
}

// InjectCDI puts the devices of these qualified names into a spec, which is changed. Errors
// are of class FailedPrecondition.
func (t *Translator) InjectCDI(spec *specs.Spec, names []string) error {
	return t.cdi.inject(spec, names)
}

// cdiDevices are the CDI specs of the node, read when the first container asks for a device
// and again when a file has changed. The library's own watch would take a goroutine, and
// may learn of a file after the container that was sent because of it.
type cdiDevices struct {
	directories []string

	mu    sync.Mutex
	cache *cdi.Cache
	state uint64 // of the directories when they were read
}

func (d *cdiDevices) inject(spec *specs.Spec, names []string) error {
	if len(names) == 0 {
		return nil
	}
	if len(d.directories) == 0 {
		return unready("CDI_devices: %s: CDI is switched off", strings.Join(names, ", "))
	}
	cache := d.current(false)
	unresolved, err := cache.InjectDevices(spec, names...)
	if len(unresolved) > 0 {
		// Nothing was injected. A change within the clock's tick may have escaped.
		cache = d.current(true)
		unresolved, err = cache.InjectDevices(spec, names...)
	}
	if len(unresolved) > 0 {
		return unready("CDI_devices: no spec in %s has %s%s", strings.Join(d.directories, ", "), strings.Join(unresolved, ", "), complaints(cache))
	}
	if err != nil {
		return unready("CDI_devices: CDI device injection failed: %v", err)
	}
	return nil
}

// current is the cache after a look at the directories.
func (d *cdiDevices) current(force bool) *cdi.Cache {
	d.mu.Lock()
	defer d.mu.Unlock()
	state := stateOf(d.directories)
	switch {
	case d.cache == nil:
		d.cache, _ = cdi.NewCache(cdi.WithSpecDirs(d.directories...), cdi.WithAutoRefresh(false)) // never fails
	case force || state != d.state:
		_ = d.cache.Refresh() // a bad file must not keep others from working: see complaints
	}
	d.state = state
	return d.cache
}

var seed = maphash.MakeSeed()

// stateOf tells two states of the directories apart by their files' names, inodes, sizes
// and times.
func stateOf(directories []string) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, dir := range directories {
		_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return nil //nolint:nilerr // what cannot be read has no specs
			}
			info, err := os.Stat(path)
			if err != nil {
				return nil //nolint:nilerr // removed just now
			}
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				fmt.Fprintln(&h, path, st.Ino, st.Size, st.Mtim, st.Ctim)
			}
			return nil
		})
	}
	return h.Sum64()
}

// complaints are what the library did not understand, which may be why a device is missing.
func complaints(c *cdi.Cache) string {
	var list []string
	for path, errs := range c.GetErrors() {
		for _, err := range errs {
			list = append(list, fmt.Sprintf("%s: %v", path, err))
		}
	}
	if len(list) == 0 {
		return ""
	}
	slices.Sort(list)
	return " (" + strings.Join(list, "; ") + ")"
}
