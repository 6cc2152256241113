// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"net/netip"
	"strings"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// CheckPod finds every mistake of a pod's configuration. Errors are of class
// InvalidArgument, with the field's name.
func (t *Translator) CheckPod(cfg *runtime.PodSandboxConfig) error {
	if cfg == nil {
		return invalid("config: it is missing")
	}
	for _, check := range []func(*runtime.PodSandboxConfig) error{
		checkPodMetadata, checkHostname, checkDNS, checkPorts, t.checkPodLinux,
	} {
		if err := check(cfg); err != nil {
			return err
		}
	}
	return nil
}

func checkPodMetadata(cfg *runtime.PodSandboxConfig) error {
	m := cfg.GetMetadata()
	if m.GetName() == "" {
		return invalid("metadata: the name of the pod is missing")
	}
	for _, s := range []struct{ field, value string }{
		{"metadata.name", m.GetName()}, {"metadata.namespace", m.GetNamespace()}, {"metadata.uid", m.GetUid()},
	} {
		if err := checkName(s.field, s.value); err != nil {
			return err
		}
	}
	if cfg.GetLogDirectory() != "" {
		if err := checkPath("log_directory", cfg.GetLogDirectory()); err != nil {
			return err
		}
	}
	if err := checkLabels("labels", cfg.GetLabels()); err != nil {
		return err
	}
	return checkAnnotations("annotations", cfg.GetAnnotations())
}

// checkHostname: the kernel takes 64 bytes, of any kind. What is left out here would break
// the line in /etc/hostname.
func checkHostname(cfg *runtime.PodSandboxConfig) error {
	const most = 64 // __NEW_UTS_LEN
	if strings.ContainsAny(cfg.GetHostname(), " /") {
		return invalid("hostname: %s contains a space or a slash", quoted(cfg.GetHostname()))
	}
	return checkLine("hostname", cfg.GetHostname(), most)
}

// checkDNS: each value becomes a word of resolv.conf.
func checkDNS(cfg *runtime.PodSandboxConfig) error {
	d := cfg.GetDnsConfig()
	for _, list := range []struct {
		field string
		words []string
	}{{"dns_config.servers", d.GetServers()}, {"dns_config.searches", d.GetSearches()}, {"dns_config.options", d.GetOptions()}} {
		for _, word := range list.words {
			if word == "" || strings.ContainsAny(word, " \t") {
				return invalid("%s: %s is not one word", list.field, quoted(word))
			}
			if err := checkLine(list.field, word, maxName); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkPorts(cfg *runtime.PodSandboxConfig) error {
	for i, p := range cfg.GetPortMappings() {
		if _, ok := runtime.Protocol_name[int32(p.GetProtocol())]; !ok {
			return invalid("port_mappings[%d].protocol: unknown protocol %d", i, p.GetProtocol())
		}
		const most = 65535
		if p.GetContainerPort() < 0 || p.GetContainerPort() > most {
			return invalid("port_mappings[%d].container_port: %d is not a port", i, p.GetContainerPort())
		}
		if p.GetHostPort() < 0 || p.GetHostPort() > most {
			return invalid("port_mappings[%d].host_port: %d is not a port", i, p.GetHostPort())
		}
		if p.GetHostPort() > 0 && p.GetContainerPort() == 0 {
			return invalid("port_mappings[%d].container_port: host port %d leads nowhere", i, p.GetHostPort())
		}
		if ip := p.GetHostIp(); ip != "" {
			if _, err := netip.ParseAddr(ip); err != nil {
				return invalid("port_mappings[%d].host_ip: %s is not an address", i, quoted(ip))
			}
		}
	}
	return nil
}

func (t *Translator) checkPodLinux(cfg *runtime.PodSandboxConfig) error {
	l := cfg.GetLinux()
	if err := checkCgroupParent(&t.node, l.GetCgroupParent()); err != nil {
		return err
	}
	if err := checkResources("linux.overhead", l.GetOverhead()); err != nil {
		return err
	}
	if err := checkResources("linux.resources", l.GetResources()); err != nil {
		return err
	}
	if err := checkPodSecurity(l.GetSecurityContext()); err != nil {
		return err
	}
	_, err := t.Sysctls(cfg)
	return err
}

func checkPodSecurity(s *runtime.LinuxSandboxSecurityContext) error {
	const field = "linux.security_context"
	if err := checkNamespaces(field+".namespace_options", s.GetNamespaceOptions()); err != nil {
		return err
	}
	if s.GetNamespaceOptions().GetPid() == runtime.NamespaceMode_TARGET {
		return invalid("%s.namespace_options.pid: TARGET is for containers", field)
	}
	if err := checkIdentity(field, s); err != nil {
		return err
	}
	if err := checkSELinux(field+".selinux_options", s.GetSelinuxOptions()); err != nil {
		return err
	}
	if err := checkProfile(field+".seccomp", s.GetSeccomp()); err != nil {
		return err
	}
	if err := checkProfile(field+".apparmor", s.GetApparmor()); err != nil {
		return err
	}
	return checkLine(field+".seccomp_profile_path", s.GetSeccompProfilePath(), maxPath) //nolint:staticcheck // older clients send it
}

// identity is what the security contexts of pods and containers have in common.
type identity interface {
	GetRunAsUser() *runtime.Int64Value
	GetRunAsGroup() *runtime.Int64Value
	GetSupplementalGroups() []int64
	GetSupplementalGroupsPolicy() runtime.SupplementalGroupsPolicy
}

func checkIdentity(field string, s identity) error {
	if err := checkID(field+".run_as_user", s.GetRunAsUser().GetValue()); err != nil {
		return err
	}
	if err := checkID(field+".run_as_group", s.GetRunAsGroup().GetValue()); err != nil {
		return err
	}
	const most = 65536 // NGROUPS_MAX
	if n := len(s.GetSupplementalGroups()); n > most {
		return invalid("%s.supplemental_groups: %d groups; the kernel takes %d", field, n, most)
	}
	if err := checkIDs(field+".supplemental_groups", s.GetSupplementalGroups()); err != nil {
		return err
	}
	p := s.GetSupplementalGroupsPolicy()
	if _, ok := runtime.SupplementalGroupsPolicy_name[int32(p)]; !ok {
		return invalid("%s.supplemental_groups_policy: unknown policy %d", field, p)
	}
	return nil
}

func checkProfile(field string, p *runtime.SecurityProfile) error {
	if _, ok := runtime.SecurityProfile_ProfileType_name[int32(p.GetProfileType())]; !ok {
		return invalid("%s.profile_type: unknown type %d", field, p.GetProfileType())
	}
	local := p.GetProfileType() == runtime.SecurityProfile_Localhost
	if !local && p.GetLocalhostRef() != "" {
		return invalid("%s.localhost_ref: it must only be set if profile_type is Localhost", field)
	}
	if local && p.GetLocalhostRef() == "" {
		return invalid("%s.localhost_ref: it is empty", field)
	}
	return checkLine(field+".localhost_ref", p.GetLocalhostRef(), maxPath)
}
