// SPDX-License-Identifier: Apache-2.0

package criplugin

import (
	"strings"
	"testing"

	"github.com/containerd/plugin"
)

// A wrong value ends the daemon: it says that it must not fail before it does.
func TestNetworkSettings(t *testing.T) {
	for pool, good := range map[int]bool{-1: false, 0: true, 4: true, maxNamespacePool: true, maxNamespacePool + 1: false} {
		mustNotFail := false
		settings := defaultNetworkSettings()
		settings.NamespacePool = pool
		ic := &plugin.InitContext{Config: settings, RegisterReadiness: func() func() { mustNotFail = true; return func() {} }}
		instance, err := networkRegistration().InitFn(ic)
		switch {
		case good && (err != nil || instance != any(settings)):
			t.Errorf("%d: %v, %v", pool, instance, err)
		case !good && (err == nil || !mustNotFail || !strings.Contains(err.Error(), `plugins."io.containerd.sardine.v1.network".namespace_pool`)):
			t.Errorf("%d: %v, ends the daemon: %t", pool, err, mustNotFail)
		}
	}
}

func TestNetworkSettingsAreTheFiles(t *testing.T) {
	r := networkRegistration()
	if r.URI() != "io.containerd.sardine.v1.network" {
		t.Errorf("section %s", r.URI())
	}
	if s := defaultNetworkSettings(); !s.InProcess || s.DefaultNetwork || s.NamespacePool != 4 {
		t.Errorf("defaults %+v", s)
	}
}
