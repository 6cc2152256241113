// SPDX-License-Identifier: Apache-2.0

package netcheck

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sardine-run/sardine/internal/nsstore"
)

// attachTime is more than the daemon gives plugins to attach a pod.
const attachTime = 5 * time.Minute

// leftRecords are records of pods that there are not. The daemon detaches those itself, again and again.
func (o *Options) leftRecords(k *known) (found []Finding) {
	for id, r := range k.records {
		if k.isPod(id) {
			continue
		}
		path := filepath.Join(o.records(), id+".json")
		info, err := os.Stat(path)
		switch {
		case err != nil:
		case r.waiting:
			found = append(found, Finding{Kind: "record", Name: path, Pod: id,
				Detail: "plugins have failed to detach it; the daemon goes on trying, and its log says why they fail"})
		case time.Since(info.ModTime()) > attachTime:
			found = append(found, Finding{Kind: "record", Name: path, Pod: id,
				Detail: "it has no pod; a daemon that is started detaches it"})
		}
	}
	return found
}

// leftResults are libcni's of pods that there are not.
func (o *Options) leftResults(k *known) (found []Finding) {
	seen := map[string]bool{}
	for _, r := range k.results {
		if seen[r.path] || k.has(r.ContainerID) || !podID.MatchString(r.ContainerID) {
			continue
		}
		seen[r.path] = true
		found = append(found, Finding{Kind: "result", Name: r.path, Network: r.NetworkName, Pod: r.ContainerID,
			remove: func(context.Context) error { return removeFile(r.path) }})
	}
	return found
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// namespaces are the keys of what is pinned for pods.
func (o *Options) pinned() (found []Finding, err error) {
	store, err := nsstore.Peek(o.namespaces())
	if err != nil {
		return nil, err
	}
	defer store.Close()
	keys, err := store.List()
	for _, key := range keys {
		found = append(found, Finding{Kind: "namespace", Name: filepath.Join(o.namespaces(), key), Pod: key,
			remove: func(context.Context) error { return o.unpin(key) }})
	}
	return found, err
}

func (o *Options) unpin(key string) error {
	store, err := nsstore.Peek(o.namespaces())
	if err != nil {
		return err
	}
	defer store.Close()
	return store.Remove(key)
}
