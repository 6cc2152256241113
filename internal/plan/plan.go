// SPDX-License-Identifier: Apache-2.0

package plan

// NoFD marks a descriptor field that is not used.
const NoFD = -1

// Plan is one process to be started in a container: either the first one, whose
// mount namespace is to be furnished (Root is set), or a further one that joins
// (JoinMount is set). Descriptor numbers are those sardine-init inherits.
type Plan struct {
	// Spawn asks for a second clone with these CLONE_NEW* flags: sardine-init joined a
	// user namespace on entry and the other namespaces must be owned by it.
	Spawn uint64

	UnshareCgroup bool         // own cgroup namespace, rooted at the cgroup the process was born in
	TimeOffsets   []TimeOffset // not empty: own time namespace (the offsets may be 0)
	JoinCgroup    int          // cgroup namespace to join, NoFD for none
	JoinMount     int          // mount namespace to join, NoFD when a new one was cloned
	Hostname      string       // "" leaves it
	Domainname    string

	Root      *Root // nil when joining
	Mounts    []Mount
	Devices   []Device
	Links     []Link
	Readonly  []string // paths in the container made read-only
	Masked    []string // paths in the container hidden behind /dev/null or an empty directory
	Sysctls   []Pair   // name with slashes ("net/ipv4/ip_forward"), value
	HostHooks bool     // stop after the mounts exist until the daemon has run its hooks
	// Hooks run inside: createContainer before pivot_root, startContainer before exec.
	// Their stdin is the OCI state of that moment, JSON.
	CreateHooks []Hook
	StartHooks  []Hook
	CreateState []byte
	StartState  []byte

	Process Process
}

// Root is the container's root file system: a detached mount, attached in the
// container's mount namespace only.
type Root struct {
	FD int
	// At is the directory of the host over which it is attached, in the container's mount
	// namespace only: where hooks that enter that namespace look for it. When there is
	// no such directory it is attached over "/".
	At          string
	Propagation uint64 // MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE for the whole tree before pivot_root
	After       uint64 // propagation of "/" afterwards, 0 to leave
	Readonly    bool
	Mask        int // detached empty directory to copy over masked ones, NoFD to make one
}

// Mount is one entry of the OCI mounts array, in order. When FD is set, the
// Launcher has applied the attributes and the propagation already.
type Mount struct {
	Destination string
	FD          int    // detached tree to attach (every bind mount), or NoFD for a new file system
	File        bool   // the destination, if missing, is created as a file
	FSType      string // for new file systems; "cgroup" is the v1 set of controllers
	Source      string // the file system's "source" option
	Options     []Pair // fsconfig strings; an empty value is a flag
	Attr        Attr   // applied to the mount itself
	Recursive   Attr   // applied to the whole tree (rro, rnoexec, ...)
	Propagation uint64 // 0 or MS_*, with MS_REC for the tree
	CopyUp      bool   // tmpfs starts with the content it covers (tmpcopyup)
	Cgroups     []Pair // for FSType cgroup: controller directory name, path of the container's cgroup below the host's mount
}

// Attr is a change of MOUNT_ATTR_* bits.
type Attr struct{ Set, Clear uint64 }

// Device is a device node to make below the root.
type Device struct {
	Path   string
	Mode   uint32 // S_IFCHR, S_IFBLK or S_IFIFO with permission bits
	Number uint64 // dev_t
	UID    uint32
	GID    uint32
	FD     int // detached mount of the host's node to bind instead (user namespaces cannot mknod), or NoFD
}

// Link is a symbolic link to make below the root when nothing is there.
type Link struct{ Target, Path string }

// Pair is a key and a value.
type Pair struct{ Key, Value string }

// TimeOffset shifts a clock of a new time namespace: time_namespaces(7).
type TimeOffset struct {
	Clock   string // "monotonic" or "boottime"
	Seconds int64
	Nanos   uint32
}

// Hook is an OCI hook that runs inside the container's namespaces.
type Hook struct {
	Path    string
	Args    []string // argv, including argv[0]
	Env     []string
	Timeout int64 // seconds, 0 for none
}

// Process is the user's program and what it may do.
type Process struct {
	Args []string // argv; Args[0] is looked up in PATH of Env
	Env  []string
	Cwd  string

	UID    uint32
	GID    uint32
	Groups []uint32
	Umask  int // -1 leaves it

	Capabilities  *Capabilities // nil keeps none beyond what the UID gives
	NoNewPrivs    bool
	Rlimits       []Rlimit
	OOMScoreAdj   *int64
	Scheduler     *Scheduler
	IOPriority    int    // ioprio_set(2) value, -1 leaves it
	CPUAffinity   []byte // cpu mask, little endian bits; nil leaves it
	Personality   *uint64
	AppArmor      string // profile to enter at exec
	SELinux       string // label to take at exec
	KeyringName   string // new session keyring, "" leaves it
	KeyringLabel  string // SELinux label of the keyring
	Seccomp       *Seccomp
	Terminal      bool
	ConsoleWidth  uint16
	ConsoleHeight uint16
}

// Capabilities are masks with bit N for capability N: capabilities(7).
type Capabilities struct{ Bounding, Effective, Inheritable, Permitted, Ambient uint64 }

// Rlimit is one setrlimit(2).
type Rlimit struct {
	Resource  int
	Soft, Max uint64
}

// Scheduler is sched_attr of sched_setattr(2).
type Scheduler struct {
	Policy   uint32
	Flags    uint64
	Nice     int32
	Priority uint32
	Runtime  uint64 // ns
	Deadline uint64 // ns
	Period   uint64 // ns
}

// Seccomp is a compiled filter.
type Seccomp struct {
	Program []byte // array of struct sock_filter, 8 bytes each, native endian
	Flags   uint64 // SECCOMP_FILTER_FLAG_*
	Notify  bool   // hand the listener to the daemon before exec
}
