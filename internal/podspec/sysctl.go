// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"slices"
	"strings"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Sysctls are the kernel parameters of a pod, to be written by a thread in all of its
// namespaces: the file below /proc/sys ("net/ipv4/ip_forward") to the value. They are the
// pod's own and those the configuration gives every pod. A parameter that belongs to no
// namespace of the pod would change the node and is of class InvalidArgument.
func (t *Translator) Sysctls(cfg *runtime.PodSandboxConfig) (map[string]string, error) {
	p := &Pod{Config: cfg}
	files := map[string]string{}
	for name, value := range cfg.GetLinux().GetSysctls() {
		file, err := sysctlFile(name)
		if err != nil {
			return nil, err
		}
		if err := checkLine("linux.sysctls: "+name, value, maxLine); err != nil {
			return nil, err
		}
		if err := p.checkSysctl(name, file); err != nil {
			return nil, err
		}
		if _, twice := files[file]; twice {
			return nil, invalid("linux.sysctls: %q is given in two notations", name)
		}
		files[file] = value
	}
	if !p.hostNetwork() {
		t.unprivileged(p, files)
	}
	return files, nil
}

// unprivileged lets every user bind low ports and send ICMP echo requests, where the
// configuration says so and the pod does not say otherwise. In a user namespace the
// range of groups is not mapped.
func (t *Translator) unprivileged(p *Pod, files map[string]string) {
	const ports, groups = "net/ipv4/ip_unprivileged_port_start", "net/ipv4/ping_group_range"
	if _, given := files[ports]; t.node.EnableUnprivilegedPorts && !given {
		files[ports] = "0"
	}
	if _, given := files[groups]; t.node.EnableUnprivilegedICMP && !given && !p.userNamespace() {
		files[groups] = "0 2147483647"
	}
}

// sysctlFile is the path below /proc/sys. The first separator decides which of "." and "/"
// separates, the other is then part of a name: sysctl.d(5).
func sysctlFile(name string) (string, error) {
	const field = "linux.sysctls"
	if err := checkLine(field, name, maxName); err != nil {
		return "", err
	}
	file := name
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '.' {
		file = strings.NewReplacer(".", "/", "/", ".").Replace(name)
	}
	for element := range strings.SplitSeq(file, "/") {
		if element == "" || element == "." || element == ".." {
			return "", invalid("%s: %q is not the name of a kernel parameter", field, name)
		}
	}
	return file, nil
}

// ipcSysctls belong to the IPC namespace beside fs.mqueue.*: ipc_namespaces(7).
var ipcSysctls = []string{
	"kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem",
	"kernel/shmall", "kernel/shmmax", "kernel/shmmni", "kernel/shm_rmid_forced",
}

func (p *Pod) checkSysctl(name, file string) error {
	var host bool
	var kind string
	switch {
	case slices.Contains(ipcSysctls, file) || strings.HasPrefix(file, "fs/mqueue/"):
		host, kind = p.hostIPC(), "IPC"
	case strings.HasPrefix(file, "net/"):
		host, kind = p.hostNetwork(), "network"
	case file == "kernel/domainname":
		host, kind = p.hostNetwork(), "UTS"
	case file == "kernel/hostname":
		return invalid("linux.sysctls: %q conflicts with the field hostname; use that", name)
	default:
		return invalid("linux.sysctls: %q is not in a separate kernel namespace; it would change the node", name)
	}
	if host {
		return invalid("linux.sysctls: %q: the pod has the node's %s namespace; it would change the node", name, kind)
	}
	return nil
}
