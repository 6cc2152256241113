// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
	crierrors "k8s.io/cri-api/pkg/errors"
)

// CheckContainer finds the mistakes of a container's configuration that can be seen without
// its image. Translate calls it too. Errors are of class InvalidArgument, with the
// field's name.
func (t *Translator) CheckContainer(pod *runtime.PodSandboxConfig, cfg *runtime.ContainerConfig) error {
	if cfg == nil {
		return invalid("config: it is missing")
	}
	for _, check := range []func(*runtime.ContainerConfig) error{
		checkContainerMetadata, t.checkMounts, checkDeviceNames,
		func(c *runtime.ContainerConfig) error { return checkSecurity(c.GetLinux().GetSecurityContext()) },
		func(c *runtime.ContainerConfig) error { return checkAgainstPod(pod, c) },
	} {
		if err := check(cfg); err != nil {
			return err
		}
	}
	return checkResources("linux.resources", cfg.GetLinux().GetResources())
}

func checkContainerMetadata(cfg *runtime.ContainerConfig) error {
	if cfg.GetMetadata().GetName() == "" {
		return invalid("metadata: the name of the container is missing")
	}
	if err := checkName("metadata.name", cfg.GetMetadata().GetName()); err != nil {
		return err
	}
	if err := checkRelative("log_path", cfg.GetLogPath()); err != nil {
		return err
	}
	if _, ok := runtime.Signal_name[int32(cfg.GetStopSignal())]; !ok {
		return invalid("stop_signal: unknown CRI stop signal %d", cfg.GetStopSignal())
	}
	if err := checkLine("image.user_specified_image", cfg.GetImage().GetUserSpecifiedImage(), maxLine); err != nil {
		return err
	}
	if err := checkLabels("labels", cfg.GetLabels()); err != nil {
		return err
	}
	return checkAnnotations("annotations", cfg.GetAnnotations())
}

func checkDeviceNames(cfg *runtime.ContainerConfig) error {
	for _, d := range cfg.GetCDIDevices() {
		if d.GetName() == "" {
			return invalid("CDI_devices: a name is empty")
		}
		if err := checkLine("CDI_devices", d.GetName(), maxName); err != nil {
			return err
		}
	}
	return checkDevices(cfg.GetDevices())
}

// checkMounts also refuses a place that is given twice: one of the two would vanish.
func (t *Translator) checkMounts(cfg *runtime.ContainerConfig) error {
	taken := make(map[string]bool, len(cfg.GetMounts()))
	for i, m := range cfg.GetMounts() {
		if err := checkPath("mounts.container_path", m.GetContainerPath()); err != nil {
			return err
		}
		destination := path.Clean(m.GetContainerPath())
		if taken[destination] {
			return invalid("mounts[%d].container_path: %s is given twice", i, quoted(destination))
		}
		taken[destination] = true
		if err := t.checkMount("mount "+destination, m); err != nil {
			return err
		}
	}
	return nil
}

func (t *Translator) checkMount(field string, m *runtime.Mount) error {
	if err := checkMountSource(field, m); err != nil {
		return err
	}
	if _, ok := runtime.MountPropagation_name[int32(m.GetPropagation())]; !ok {
		return invalid("%s: propagation: unknown mode %d", field, m.GetPropagation())
	}
	if err := t.checkRecursive(field, m); err != nil {
		return err
	}
	for _, o := range m.GetMountOptions() {
		if !slices.Contains(bindOptions, o) {
			return invalid("%s: mount_options: %s is not an option of a bind mount", field, quoted(o))
		}
	}
	if (len(m.GetUidMappings()) == 0) != (len(m.GetGidMappings()) == 0) {
		return invalid("%s: uid_mappings and gid_mappings belong together", field)
	}
	if _, err := idMap(field+": uid_mappings", m.GetUidMappings()); err != nil {
		return err
	}
	_, err := idMap(field+": gid_mappings", m.GetGidMappings())
	return err
}

// bindOptions are what mount_options may hold: ro, rw and propagation have fields of their own.
var bindOptions = []string{
	"noexec", "exec", "nodev", "dev", "nosuid", "suid", "nosymfollow", "symfollow",
	"noatime", "atime", "relatime", "norelatime", "strictatime", "nostrictatime", "nodiratime", "diratime",
	"rnoexec", "rnodev", "rnosuid", "rnosymfollow", "rnoatime", "rrelatime", "rstrictatime", "rnodiratime",
}

func checkMountSource(field string, m *runtime.Mount) error {
	if m.GetImage() == nil {
		if m.GetImageSubPath() != "" {
			return invalid("%s: image_sub_path without an image", field)
		}
		return checkPath(field+": host_path", m.GetHostPath())
	}
	var err error
	switch {
	case m.GetHostPath() != "":
		err = invalid("%s: host_path must be empty while mounting an image", field)
	case !m.GetReadonly():
		err = invalid("%s: readonly must be true while mounting an image", field)
	case m.GetImage().GetImage() == "":
		err = invalid("%s: image: the name is empty", field)
	case path.IsAbs(m.GetImageSubPath()):
		err = invalid("%s: image_sub_path: %s is absolute", field, quoted(m.GetImageSubPath()))
	default:
		err = checkRelative(field+": image_sub_path", m.GetImageSubPath())
	}
	if err != nil {
		return joined(crierrors.ErrImageVolumeMountFailed, err) // the kubelet looks for this word
	}
	return nil
}

func (t *Translator) checkRecursive(field string, m *runtime.Mount) error {
	switch {
	case !m.GetRecursiveReadOnly():
		return nil
	case !m.GetReadonly():
		return invalid("%s: recursive_read_only conflicts with a mount that is not readonly", field)
	case m.GetPropagation() != runtime.MountPropagation_PROPAGATION_PRIVATE:
		return invalid("%s: recursive_read_only needs private propagation, not %s", field, m.GetPropagation())
	case !t.node.RecursiveReadOnly:
		return recursiveUnsupported(field)
	}
	return nil
}

// recursiveUnsupported has the word the kubelet looks for.
func recursiveUnsupported(field string) error {
	return classed(errdefs.ErrFailedPrecondition, "%w: %s: recursive read-only mounts need Linux 5.12", crierrors.ErrRROUnsupported, field)
}

func checkSecurity(s *runtime.LinuxContainerSecurityContext) error {
	const field = "linux.security_context"
	if err := checkNamespaces(field+".namespace_options", s.GetNamespaceOptions()); err != nil {
		return err
	}
	if err := checkCapabilities(field+".capabilities", s.GetCapabilities()); err != nil {
		return err
	}
	if err := checkIdentity(field, s); err != nil {
		return err
	}
	if strings.Contains(s.GetRunAsUsername(), ":") {
		return invalid("%s.run_as_username: %s contains \":\"", field, quoted(s.GetRunAsUsername()))
	}
	if err := checkLine(field+".run_as_username", s.GetRunAsUsername(), maxName); err != nil {
		return err
	}
	if err := checkPaths(field+".masked_paths", s.GetMaskedPaths()); err != nil {
		return err
	}
	if err := checkPaths(field+".readonly_paths", s.GetReadonlyPaths()); err != nil {
		return err
	}
	return checkProfiles(field, s)
}

func checkProfiles(field string, s *runtime.LinuxContainerSecurityContext) error {
	if err := checkSELinux(field+".selinux_options", s.GetSelinuxOptions()); err != nil {
		return err
	}
	if err := checkProfile(field+".seccomp", s.GetSeccomp()); err != nil {
		return err
	}
	if err := checkProfile(field+".apparmor", s.GetApparmor()); err != nil {
		return err
	}
	//nolint:staticcheck // older clients send these
	for _, name := range []string{s.GetSeccompProfilePath(), s.GetApparmorProfile()} {
		if err := checkLine(field+": profile", name, maxPath); err != nil {
			return err
		}
	}
	return nil
}

func checkCapabilities(field string, c *runtime.Capability) error {
	const most = 64 // the longest has 22
	for _, list := range [][]string{c.GetAddCapabilities(), c.GetDropCapabilities(), c.GetAddAmbientCapabilities()} {
		for _, name := range list {
			if name == "" {
				return invalid("%s: a name is empty", field)
			}
			if err := checkLine(field, name, most); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkAgainstPod compares what has to be the same in both.
func checkAgainstPod(pod *runtime.PodSandboxConfig, cfg *runtime.ContainerConfig) error {
	s, p := cfg.GetLinux().GetSecurityContext(), pod.GetLinux().GetSecurityContext()
	if s.GetPrivileged() && !p.GetPrivileged() {
		return invalid("linux.security_context.privileged: no privileged container allowed in sandbox")
	}
	if !sameUserNamespace(p.GetNamespaceOptions().GetUsernsOptions(), s.GetNamespaceOptions().GetUsernsOptions()) {
		return invalid("linux.security_context.namespace_options.userns_options: user namespace config for sandbox is different from container")
	}
	return nil
}
