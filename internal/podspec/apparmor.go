// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"strings"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// DefaultAppArmorProfile is the name under which the default profile is loaded.
const DefaultAppArmorProfile = "cri-containerd.apparmor.d"

// apparmor sets the profile. Without a wish of the request it is the default one, where
// the node has AppArmor (kubernetes issue 51746). A profile that would not be enforced is refused.
func (t *translation) apparmor() error {
	p, err := t.wantedAppArmor()
	if err != nil {
		return err
	}
	if !t.node.AppArmor {
		if p != nil && p.GetProfileType() != runtime.SecurityProfile_Unconfined {
			return unready("apparmor: %s is asked for, but AppArmor is not supported by this node or switched off", p.GetProfileType())
		}
		return nil
	}
	switch {
	case p == nil || p.GetProfileType() == runtime.SecurityProfile_RuntimeDefault:
		if !t.security.GetPrivileged() {
			t.spec.Process.ApparmorProfile, t.result.DefaultAppArmor = DefaultAppArmorProfile, true
		}
	case p.GetProfileType() == runtime.SecurityProfile_Localhost:
		return t.localAppArmor(p.GetLocalhostRef())
	}
	return nil
}

func (t *translation) wantedAppArmor() (*runtime.SecurityProfile, error) {
	if p := t.security.GetApparmor(); p != nil {
		return p, nil
	}
	if name := t.security.GetApparmorProfile(); name != "" { //nolint:staticcheck // older clients send it
		return profileOf("apparmor_profile", name)
	}
	return nil, nil
}

func (t *translation) localAppArmor(ref string) error {
	name := strings.TrimPrefix(ref, localhostPrefix)
	if err := checkLine("apparmor.localhost_ref", name, maxName); err != nil {
		return err
	}
	if name == "" {
		return invalid("apparmor.localhost_ref: it is empty")
	}
	loaded, err := t.host.AppArmorLoaded(name)
	if err != nil {
		return unready("apparmor.localhost_ref: look for profile %q: %v", name, err)
	}
	if !loaded {
		return unready("apparmor.localhost_ref: apparmor profile not found %s", name)
	}
	t.spec.Process.ApparmorProfile = name
	return nil
}
