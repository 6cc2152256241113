// SPDX-License-Identifier: Apache-2.0

package netcheck

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"

	"github.com/containerd/errdefs"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// known is who may have something of the network.
type known struct {
	unanswered error                      // why the daemon did not say which pods there are
	pods       map[string]*cri.PodSandbox // as the daemon lists them
	sandboxes  map[string]bool            // as the daemon has written them down: also those that are being made
	records    map[string]*record
	results    []*result // of the daemon's pods
	others     []*result // of other runtimes
}

func (o *Options) know(ctx context.Context) (*known, error) {
	k := &known{sandboxes: map[string]bool{}}
	if err := o.askFor(ctx, k); err != nil {
		return nil, err
	}
	var err error
	if k.records, err = o.readRecords(); err != nil {
		return nil, err
	}
	if k.results, err = readResults(o.cache()); err != nil {
		return nil, err
	}
	for _, dir := range o.OtherCaches {
		more, err := readResults(dir)
		if err != nil {
			return nil, err
		}
		k.others = append(k.others, more...)
	}
	return k, nil
}

// askFor asks the daemon for its pods, and reads which it has written down before and after that.
func (o *Options) askFor(ctx context.Context, k *known) error {
	if err := o.readSandboxes(k); err != nil {
		return err
	}
	if d, err := connect(o.Address); err != nil {
		k.unanswered = err
	} else {
		k.pods, k.unanswered = d.pods(ctx)
		d.close()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := o.readSandboxes(k); err != nil {
		return err
	}
	if _, err := os.Stat(o.sandboxes()); k.unanswered == nil && (err != nil || k.strange()) {
		return fmt.Errorf("%s has not the pods of the daemon at %s: name its state directory by --state: %w", o.State, o.Address, errdefs.ErrInvalidArgument)
	}
	return nil
}

func (o *Options) readSandboxes(k *known) error {
	entries, err := os.ReadDir(o.sandboxes())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("records of pods: %w", err)
	}
	for _, e := range entries {
		k.sandboxes[e.Name()] = true
	}
	return nil
}

// strange reports whether the daemon has written down none of the pods that it lists: those would be another's directories.
func (k *known) strange() bool {
	for id := range k.pods {
		if k.sandboxes[id] {
			return false
		}
	}
	return len(k.pods) > 0
}

// and is what either knows of.
func (k *known) and(l *known) *known {
	both := &known{unanswered: cmp.Or(k.unanswered, l.unanswered),
		pods: map[string]*cri.PodSandbox{}, sandboxes: map[string]bool{}, records: map[string]*record{},
		results: append(append([]*result{}, k.results...), l.results...), others: append(append([]*result{}, k.others...), l.others...)}
	for _, from := range []*known{k, l} {
		maps.Copy(both.pods, from.pods)
		maps.Copy(both.sandboxes, from.sandboxes)
		maps.Copy(both.records, from.records)
	}
	return both
}

// isPod reports whether the daemon has a pod of this id, or is making or removing one.
func (k *known) isPod(id string) bool { return k.pods[id] != nil || k.sandboxes[id] }

// has reports whether something of this id is anybody's.
func (k *known) has(id string) bool {
	if k.isPod(id) || k.records[id] != nil {
		return true
	}
	for _, r := range k.others {
		if r.ContainerID == id {
			return true
		}
	}
	return false
}

// settled reports whether all who have a record have all their results too: nobody is being attached.
func (k *known) settled() bool {
	done := map[[2]string]bool{}
	for _, r := range k.results {
		done[[2]string{r.ContainerID, r.IfName}] = true
	}
	for id, r := range k.records {
		if len(r.Networks) == 0 {
			return false
		}
		for _, n := range r.Networks {
			if !done[[2]string{id, n.Interface}] {
				return false
			}
		}
	}
	return true
}

// interfaces are the names of the host's that are somebody's.
func (k *known) interfaces() map[string]bool {
	names := map[string]bool{}
	for _, list := range [][]*result{k.results, k.others} {
		for _, r := range list {
			if k.has(r.ContainerID) {
				for _, name := range r.hostInterfaces() {
					names[name] = true
				}
			}
		}
	}
	return names
}
