// SPDX-License-Identifier: Apache-2.0

package kernel

// The features there are probes for.
const (
	FeaturePidfd           FeatureName = "pidfd_open"
	FeaturePidfdSignal     FeatureName = "pidfd_send_signal"
	FeaturePidfdWait       FeatureName = "waitid by pidfd"
	FeaturePidfdSetns      FeatureName = "setns by pidfd"
	FeaturePidfdExit       FeatureName = "exit code by pidfd"
	FeatureCloneCgroup     FeatureName = "clone into cgroup"
	FeatureCgroupKill      FeatureName = "cgroup.kill"
	FeatureMemfdExec       FeatureName = "executable memfd"
	FeatureOpenat2         FeatureName = "openat2"
	FeatureMountAPI        FeatureName = "mount API"
	FeatureMountSetattr    FeatureName = "mount_setattr"
	FeatureIdmappedMount   FeatureName = "idmapped mounts"
	FeatureOverlay         FeatureName = "overlay"
	FeatureOverlayAppend   FeatureName = "overlay lowerdir+"
	FeatureOverlayVolatile FeatureName = "overlay volatile"
	FeatureOverlayXattr    FeatureName = "overlay userxattr"
	FeatureErofsFile       FeatureName = "EROFS from files"
	FeatureUserNamespace   FeatureName = "user namespaces"
	FeatureTimeNamespace   FeatureName = "time namespaces"
	FeatureSeccompNotify   FeatureName = "seccomp notify"
	FeatureBTF             FeatureName = "BTF"
	FeatureFUSE            FeatureName = "FUSE"
	FeaturePreContent      FeatureName = "fanotify pre-content"
)

// featureList is made anew for each caller: a package variable would be state.
func featureList() []Feature {
	return append(processFeatures(), append(mountFeatures(), otherFeatures()...)...)
}

func processFeatures() []Feature {
	return []Feature{
		{
			Name: FeaturePidfd, Since: Version{5, 3}, probe: probePidfd,
			Lost: "containers cannot be started: a pid alone may name another process",
		},
		{
			Name: FeaturePidfdSignal, Since: Version{5, 1}, probe: probePidfdSignal,
			Lost: "containers cannot be signalled safely",
		},
		{
			Name: FeaturePidfdWait, Since: Version{5, 4}, probe: probePidfdWait,
			Lost: "exit codes of containers cannot be read",
		},
		{
			Name: FeaturePidfdSetns, Since: Version{5, 8}, probe: probePidfdSetns,
			Lost:     "entering a container takes one call per namespace",
			Fallback: "setns with /proc/PID/ns",
		},
		{
			Name: FeaturePidfdExit, Since: Version{6, 15}, probe: probePidfdExit,
			Lost:     "without eBPF too, the exit code of a container that ends while sardined is down reads 255",
			Fallback: "the eBPF exit recorder",
		},
		{
			Name: FeatureCloneCgroup, Since: Version{5, 7}, probe: probeCloneCgroup,
			Lost:     "starts on cgroup v2 wait for the move into the cgroup, 10 to 25 ms at times",
			Fallback: "cgroup.procs",
		},
		{
			Name: FeatureCgroupKill, Since: Version{5, 14}, probe: probeCgroupKill,
			Lost:     "a fork bomb in a container takes longer to kill",
			Fallback: "freeze, signal each process, thaw",
		},
		{
			Name: FeatureMemfdExec, Since: Version{3, 17}, probe: probeMemfdExec,
			Lost:   "containers cannot be started: sardine-init runs from a sealed memfd",
			Advice: "sysctl -w vm.memfd_noexec=0",
		},
	}
}

func mountFeatures() []Feature {
	return []Feature{
		{
			Name: FeatureOpenat2, Since: Version{5, 6}, probe: probeOpenat2,
			Lost: "containers cannot be started: paths in images are resolved with RESOLVE_IN_ROOT",
		},
		{
			Name: FeatureMountAPI, Since: Version{5, 2}, probe: probeMountAPI,
			Lost: "containers cannot be started: file systems are mounted by descriptor",
		},
		{
			Name: FeatureMountSetattr, Since: Version{5, 12}, probe: probeMountSetattr,
			Lost: "containers cannot be started: mounts are made read-only by descriptor",
		},
		{
			Name: FeatureIdmappedMount, Since: Version{5, 12}, probe: probeIdmappedMount,
			Lost:     "a user namespace needs a copy of the image with shifted owners",
			Fallback: "chown of the root file system by the snapshotter",
		},
		{
			Name: FeatureOverlay, Since: Version{4, 0}, probe: probeOverlay,
			Lost:     "layers are copied in full for each container",
			Fallback: "the native snapshotter",
			Advice:   "modprobe overlay; keep the root on ext4, XFS or btrfs",
		},
		{
			Name: FeatureOverlayAppend, Since: Version{6, 8}, probe: probeOverlayAppend,
			Lost:     "images of many layers are mounted in a helper mount namespace",
			Fallback: "mount(2) with all layers in one option",
		},
		{
			Name: FeatureOverlayVolatile, Since: Version{5, 10}, probe: probeOverlayVolatile,
			Lost:     "removing a container waits for its writable layer to reach the disk",
			Fallback: "a durable writable layer",
		},
		{
			Name: FeatureOverlayXattr, Since: Version{5, 11}, probe: probeOverlayXattr,
			Lost:     "overlay needs root of the host",
			Fallback: "trusted attributes",
		},
		{
			Name: FeatureErofsFile, Since: Version{6, 12}, probe: probeErofsFile,
			Lost:     "EROFS layers take a loop device each",
			Fallback: "loop devices",
		},
	}
}

func otherFeatures() []Feature {
	return []Feature{
		{
			Name: FeatureUserNamespace, Since: Version{3, 8}, probe: probeUserNamespace,
			Lost:   "containers with a user namespace (hostUsers: false) are refused",
			Advice: "sysctl -w user.max_user_namespaces=15000",
		},
		{
			Name: FeatureTimeNamespace, Since: Version{5, 6}, probe: probeTimeNamespace,
			Lost: "containers with a time namespace are refused",
		},
		{
			Name: FeatureSeccompNotify, Since: Version{5, 0}, probe: probeSeccompNotify,
			Lost: "seccomp profiles with a listener are refused",
		},
		{
			Name: FeatureBTF, Since: Version{5, 2}, probe: probeBTF,
			Lost:     "exit codes of containers that end while sardined is down",
			Fallback: "exit code by pidfd",
			Advice:   "a kernel with CONFIG_DEBUG_INFO_BTF=y",
		},
		{
			Name: FeatureFUSE, Since: Version{2, 6}, probe: probeFUSE,
			Lost:   "lazy images: containers start after the whole image was downloaded",
			Advice: "modprobe fuse",
		},
		{
			Name: FeaturePreContent, Since: Version{6, 14}, probe: probePreContent,
			Lost:     "lazy images read through FUSE, not from files that are filled on demand",
			Fallback: "FUSE",
			Advice:   "a kernel with CONFIG_FANOTIFY_ACCESS_PERMISSIONS=y",
		},
	}
}
