// SPDX-License-Identifier: Apache-2.0

package criplugin

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/pelletier/go-toml/v2"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/network"
	"github.com/sardine-run/sardine/internal/podspec"
)

// runtimeSettings are the section plugins."io.containerd.cri.v1.runtime", as far as it concerns us.
type runtimeSettings struct {
	Containerd struct {
		DefaultRuntimeName            string                     `toml:"default_runtime_name"`
		Runtimes                      map[string]handlerSettings `toml:"runtimes"`
		IgnoreBlockIONotEnabledErrors bool                       `toml:"ignore_blockio_not_enabled_errors"`
		IgnoreRdtNotEnabledErrors     bool                       `toml:"ignore_rdt_not_enabled_errors"`
	} `toml:"containerd"`
	CNI network.Config `toml:"cni"`

	EnableSelinux                      bool     `toml:"enable_selinux"`
	SelinuxCategoryRange               int      `toml:"selinux_category_range"`
	MaxContainerLogLineSize            int      `toml:"max_container_log_line_size"`
	DisableApparmor                    bool     `toml:"disable_apparmor"`
	RestrictOOMScoreAdj                bool     `toml:"restrict_oom_score_adj"`
	DisableProcMount                   bool     `toml:"disable_proc_mount"`
	UnsetSeccompProfile                string   `toml:"unset_seccomp_profile"`
	TolerateMissingHugetlbController   bool     `toml:"tolerate_missing_hugetlb_controller"`
	DisableHugetlbController           bool     `toml:"disable_hugetlb_controller"`
	DeviceOwnershipFromSecurityContext bool     `toml:"device_ownership_from_security_context"`
	IgnoreImageDefinedVolumes          bool     `toml:"ignore_image_defined_volumes"`
	EnableUnprivilegedPorts            bool     `toml:"enable_unprivileged_ports"`
	EnableUnprivilegedICMP             bool     `toml:"enable_unprivileged_icmp"`
	CDISpecDirs                        []string `toml:"cdi_spec_dirs"`
	DrainExecSyncIOTimeout             string   `toml:"drain_exec_sync_io_timeout"`
}

// handlerSettings are the section of one runtime handler.
type handlerSettings struct {
	Type                                          string         `toml:"runtime_type"`
	PodAnnotations                                []string       `toml:"pod_annotations"`
	ContainerAnnotations                          []string       `toml:"container_annotations"`
	Options                                       map[string]any `toml:"options"`
	PrivilegedWithoutHostDevices                  bool           `toml:"privileged_without_host_devices"`
	PrivilegedWithoutHostDevicesAllDevicesAllowed bool           `toml:"privileged_without_host_devices_all_devices_allowed"`
	CgroupWritable                                bool           `toml:"cgroup_writable"`
	BaseRuntimeSpec                               string         `toml:"base_runtime_spec"`
	NetworkPluginConfDir                          string         `toml:"cni_conf_dir"`
	NetworkPluginMaxConfNum                       int            `toml:"cni_max_conf_num"`
	Snapshotter                                   string         `toml:"snapshotter"`
}

// serverSettings are the section plugins."io.containerd.grpc.v1.cri".
type serverSettings struct {
	DisableTCPService   bool   `toml:"disable_tcp_service"`
	StreamServerAddress string `toml:"stream_server_address"`
	StreamServerPort    string `toml:"stream_server_port"`
	StreamIdleTimeout   string `toml:"stream_idle_timeout"`
	EnableTLSStreaming  bool   `toml:"enable_tls_streaming"`
	X509KeyPair         struct {
		CertFile string `toml:"tls_cert_file"`
		KeyFile  string `toml:"tls_key_file"`
	} `toml:"x509_key_pair_streaming"`
}

// convert reads the configuration of one of containerd's plugins, whose type cannot be named here, into ours. The
// keys of the file are what both have in common.
func convert(stock, ours any) error {
	text, err := toml.Marshal(stock)
	if err == nil {
		err = toml.Unmarshal(text, ours)
	}
	if err != nil {
		return fmt.Errorf("configuration %T: %w", stock, err)
	}
	return nil
}

// handler is what the CRI server needs of the section.
func (s *handlerSettings) handler() (podspec.Handler, error) {
	h := podspec.Handler{
		PodAnnotations: s.PodAnnotations, ContainerAnnotations: s.ContainerAnnotations,
		PrivilegedWithoutHostDevices: s.PrivilegedWithoutHostDevices, PrivilegedAllDevicesAllowed: s.PrivilegedWithoutHostDevicesAllDevicesAllowed,
		CgroupWritable: s.CgroupWritable,
	}
	if s.BaseRuntimeSpec == "" {
		return h, nil
	}
	text, err := os.ReadFile(s.BaseRuntimeSpec)
	if err == nil {
		h.BaseSpec = &specs.Spec{}
		err = json.Unmarshal(text, h.BaseSpec)
	}
	if err != nil {
		return h, fmt.Errorf("base_runtime_spec: %w", err)
	}
	return h, nil
}

// option is a boolean of runc's options, whose names are written in more than one way.
func (s *handlerSettings) option(name string) bool {
	for key, value := range s.Options {
		if strings.EqualFold(strings.ReplaceAll(key, "_", ""), name) {
			set, _ := value.(bool)
			return set
		}
	}
	return false
}

func (s *handlerSettings) driver() cgroup.Driver {
	if s.option("SystemdCgroup") {
		return cgroup.Systemd
	}
	return cgroup.Cgroupfs
}
