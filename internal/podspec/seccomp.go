// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// seccompProfile sets the profile. It comes after capabilities, which decide about the
// default one. Without a wish of the request the configuration decides, and without one
// of its own the handler's base spec.
func (t *translation) seccompProfile() error {
	if t.security.GetPrivileged() {
		return nil
	}
	p, err := t.wantedSeccomp()
	if err != nil || p == nil {
		return err
	}
	switch p.GetProfileType() {
	case runtime.SecurityProfile_RuntimeDefault:
		t.spec.Linux.Seccomp = t.seccomp.runtimeDefault(t.spec.Process.Capabilities.Bounding)
	case runtime.SecurityProfile_Localhost:
		t.spec.Linux.Seccomp, err = t.seccomp.localhost(t.host.ReadFile, p.GetLocalhostRef())
	}
	return err
}

func (t *translation) wantedSeccomp() (*runtime.SecurityProfile, error) {
	if p := t.security.GetSeccomp(); p != nil {
		return p, nil
	}
	if name := t.security.GetSeccompProfilePath(); name != "" { //nolint:staticcheck // older clients send it
		return profileOf("seccomp_profile_path", name)
	}
	if t.node.UnsetSeccompProfile == "" {
		return nil, nil
	}
	return profileOf("unset_seccomp_profile of the configuration", t.node.UnsetSeccompProfile)
}

// profileOf reads the notation that was used before SecurityProfile.
func profileOf(field, name string) (*runtime.SecurityProfile, error) {
	switch name {
	case "runtime/default", "docker/default", "":
		return &runtime.SecurityProfile{ProfileType: runtime.SecurityProfile_RuntimeDefault}, nil
	case "unconfined":
		return &runtime.SecurityProfile{ProfileType: runtime.SecurityProfile_Unconfined}, nil
	}
	ref, ok := strings.CutPrefix(name, localhostPrefix)
	if !ok {
		return nil, invalid("%s: %s is not runtime/default, unconfined or localhost/NAME", field, quoted(name))
	}
	return &runtime.SecurityProfile{ProfileType: runtime.SecurityProfile_Localhost, LocalhostRef: ref}, nil
}

// localhostPrefix is taken off a LocalhostRef too, where older kubelets left it.
const localhostPrefix = "localhost/"

// seccompProfiles remembers profiles, which are never changed. The zero value is ready.
type seccompProfiles struct {
	mu       sync.Mutex
	defaults map[string]*specs.LinuxSeccomp // by capabilities
	files    map[string]seccompFile         // by path
}

type seccompFile struct {
	content []byte
	profile *specs.LinuxSeccomp
}

// A node has few sets of capabilities and few profiles. Beyond these numbers all are
// forgotten, so that no stream of odd requests makes the memory grow.
const (
	maxDefaults = 64
	maxFiles    = 16
)

// runtimeDefault is containerd's profile for a bounding set.
func (p *seccompProfiles) runtimeDefault(bounding []string) *specs.LinuxSeccomp {
	caps := slices.Sorted(slices.Values(bounding))
	key := strings.Join(caps, " ")
	p.mu.Lock()
	defer p.mu.Unlock()
	if profile, ok := p.defaults[key]; ok {
		return profile
	}
	if p.defaults == nil || len(p.defaults) >= maxDefaults {
		p.defaults = map[string]*specs.LinuxSeccomp{}
	}
	profile := seccomp.DefaultProfile(&specs.Spec{Process: &specs.Process{
		Capabilities: &specs.LinuxCapabilities{Bounding: caps},
	}})
	p.defaults[key] = profile
	return profile
}

// localhost reads the file each time: it may have been changed. Parsing it again is spared.
func (p *seccompProfiles) localhost(read func(string) ([]byte, error), ref string) (*specs.LinuxSeccomp, error) {
	path := strings.TrimPrefix(ref, localhostPrefix)
	if err := checkPath("seccomp.localhost_ref", path); err != nil {
		return nil, err
	}
	content, err := read(path)
	if err != nil {
		return nil, unready("seccomp.localhost_ref: cannot load seccomp profile %q: %v", path, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if f, ok := p.files[path]; ok && bytes.Equal(f.content, content) {
		return f.profile, nil
	}
	profile := &specs.LinuxSeccomp{}
	if err := json.Unmarshal(content, profile); err != nil {
		return nil, unready("seccomp.localhost_ref: decode seccomp profile %q: %v", path, err)
	}
	if p.files == nil || len(p.files) >= maxFiles {
		p.files = map[string]seccompFile{}
	}
	p.files[path] = seccompFile{content, profile}
	return profile, nil
}
