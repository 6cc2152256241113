// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"
	"errors"
	"os"
	"reflect"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/rootfs"
)

// manager answers Activate as it is told.
type manager struct {
	mount.Manager
	activate    error
	deactivated []string
}

var system = []mount.Mount{{Type: "erofs", Source: "/dev/loop7"}}

func (m *manager) Activate(context.Context, string, []mount.Mount, ...mount.ActivateOpt) (mount.ActivationInfo, error) {
	return mount.ActivationInfo{System: system}, m.activate
}

func (m *manager) Info(context.Context, string) (mount.ActivationInfo, error) {
	return mount.ActivationInfo{System: system}, nil
}

func (m *manager) Deactivate(_ context.Context, id string) error {
	m.deactivated = append(m.deactivated, id)
	return nil
}

func TestActivate(t *testing.T) {
	plain := []mount.Mount{{Type: "overlay", Source: "overlay"}}
	for name, test := range map[string]struct {
		answer error
		want   activation
	}{
		"special":   {nil, activation{mounts: system, held: true, owned: true}},
		"plain":     {errdefs.ErrNotImplemented, activation{mounts: plain}},
		"of before": {errdefs.ErrAlreadyExists, activation{mounts: system, held: true}},
	} {
		m := &manager{activate: test.answer}
		r := &Runtime{mounts: m}
		got, err := r.activate(t.Context(), "id", plain)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, test.want)
		}
		r.undo(t.Context(), "id", got)
		if owned := len(m.deactivated) == 1; owned != test.want.owned {
			t.Errorf("%s: deactivated %q by undo", name, m.deactivated)
		}
	}
	failure := errors.New("no loop device")
	if _, err := (&Runtime{mounts: &manager{activate: failure}}).activate(t.Context(), "id", plain); !errors.Is(err, failure) {
		t.Errorf("failure: %v", err)
	}
	if got, err := (&Runtime{}).activate(t.Context(), "id", plain); err != nil || got.held {
		t.Errorf("without a mount manager: %+v, %v", got, err)
	}
}

func TestActivatedIsRemembered(t *testing.T) {
	bundle := t.TempDir()
	activation{}.keep(bundle)
	if isActivated(bundle) {
		t.Error("plain mounts are held")
	}
	activation{held: true}.keep(bundle)
	if !isActivated(bundle) {
		t.Error("special mounts are forgotten")
	}
	if err := os.RemoveAll(bundle); err != nil {
		t.Fatal(err)
	}
}

func TestRootfsMounts(t *testing.T) {
	got, err := rootfsMounts([]mount.Mount{{Type: "bind", Source: "/a", Options: []string{"rbind"}}})
	if want := []rootfs.Mount{{Type: "bind", Source: "/a", Options: []string{"rbind"}}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := rootfsMounts([]mount.Mount{{Type: "bind", Target: "below"}}); !errdefs.IsNotImplemented(err) {
		t.Errorf("mount with a target: %v", err)
	}
}
