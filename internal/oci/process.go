// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"math"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// firstProcess translates spec.process.
func (t *translation) firstProcess() error {
	if t.spec.Process == nil {
		return invalid("process: it is missing")
	}
	if err := t.process(t.spec.Process); err != nil {
		return err
	}
	// For the processes that follow; a mistake is better heard of now.
	_, err := execAffinity(t.spec.Process.ExecCPUAffinity)
	return err
}

// process fills Plan.Process.
func (t *translation) process(p *specs.Process) error {
	out := &t.plan.Process
	out.IOPriority, out.Umask = -1, -1
	out.NoNewPrivs = p.NoNewPrivileges
	steps := []func(*specs.Process) error{
		t.arguments, t.user, t.capabilities, t.rlimits, t.oomScoreAdj, t.scheduler,
		t.ioPriority, t.personality, t.labels, t.keyring, t.terminal, t.seccomp,
	}
	for _, step := range steps {
		if err := step(p); err != nil {
			return err
		}
	}
	return nil
}

// arguments checks what execve(2) gets.
func (t *translation) arguments(p *specs.Process) error {
	if len(p.Args) == 0 {
		return invalid("process.args: there is no program to run")
	}
	if p.Args[0] == "" {
		return invalid("process.args: the name of the program is empty")
	}
	if p.Cwd == "" {
		return invalid("process.cwd: it is empty")
	}
	if err := checkAbsolute("process.cwd", p.Cwd); err != nil {
		return err
	}
	env, err := environment(p.Env)
	if err != nil {
		return err
	}
	if err := t.checkLength(p, env); err != nil {
		return err
	}
	t.plan.Process.Args, t.plan.Process.Env, t.plan.Process.Cwd = p.Args, env, path.Clean(p.Cwd)
	return nil
}

// environment keeps the last of several values of one variable, as a shell would.
func environment(env []string) ([]string, error) {
	last := make(map[string]int, len(env))
	for i, v := range env {
		name, _, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return nil, invalid("process.env: %q is not NAME=value", v)
		}
		last[name] = i
	}
	if len(last) == len(env) {
		return env, nil
	}
	var out []string
	for i, v := range env {
		if name, _, _ := strings.Cut(v, "="); last[name] == i {
			out = append(out, v)
		}
	}
	return out, nil
}

// Limits of execve(2): one string, and all of them with their pointers.
const (
	maxString  = 32 * 4096 // MAX_ARG_STRLEN
	maxStrings = 6 << 20   // three quarters of _STK_LIM
	minStrings = 32 * 4096 // ARG_MAX, granted whatever the stack limit
)

// checkLength refuses what exec would answer with E2BIG, when the container is
// already half made.
func (t *translation) checkLength(p *specs.Process, env []string) error {
	args, err := checkStrings("process.args", p.Args)
	if err != nil {
		return err
	}
	vars, err := checkStrings("process.env", env)
	if err != nil {
		return err
	}
	if limit := t.maxArguments(p); args+vars > limit {
		return invalid("process.args and process.env: %d bytes together; the kernel takes %d with this RLIMIT_STACK (argument list too long)", args+vars, limit)
	}
	return nil
}

// checkStrings returns what a list takes of the new program's stack, in bytes.
func checkStrings(field string, list []string) (uint64, error) {
	total := uint64(0)
	for i, s := range list {
		if err := checkText(field, s); err != nil {
			return 0, err
		}
		if len(s)+1 > maxString {
			return 0, invalid("%s: entry %d has %d bytes; the kernel takes %d (argument list too long)", field, i, len(s), maxString-1)
		}
		total += uint64(len(s)) + 1 + 8 // its pointer
	}
	return total, nil
}

// maxArguments is a quarter of the stack limit within the kernel's bounds.
func (t *translation) maxArguments(p *specs.Process) uint64 {
	stack := t.opts.Host.StackLimit
	for _, r := range p.Rlimits {
		if r.Type == "RLIMIT_STACK" {
			stack = r.Soft
		}
	}
	if stack == 0 {
		stack = 8 << 20 // _STK_LIM; the host was not looked at
	}
	return min(max(stack/4, minStrings), maxStrings)
}

// user takes over the ids and refuses those that the user namespace does not map.
func (t *translation) user(p *specs.Process) error {
	out := &t.plan.Process
	out.UID, out.GID, out.Groups = p.User.UID, p.User.GID, p.User.AdditionalGids
	if p.User.Umask != nil {
		if *p.User.Umask > 0o777 {
			return invalid("process.user.umask: %#o has more than permission bits", *p.User.Umask)
		}
		out.Umask = int(*p.User.Umask)
	}
	const maxGroups = 65536 // NGROUPS_MAX
	if len(out.Groups) > maxGroups {
		return invalid("process.user.additionalGids: %d groups; the kernel takes %d", len(out.Groups), maxGroups)
	}
	if out.UID == math.MaxUint32 || out.GID == math.MaxUint32 || slices.Contains(out.Groups, math.MaxUint32) {
		return invalid("process.user: %d is not an id", uint32(math.MaxUint32))
	}
	return t.checkMapped(out.UID, append([]uint32{out.GID}, out.Groups...))
}

func (t *translation) checkMapped(uid uint32, gids []uint32) error {
	m := t.containerMapping()
	if m == nil {
		return nil
	}
	if !mapsID(m.UIDs, uid) {
		return invalid("process.user.uid: %d is not mapped in the user namespace", uid)
	}
	for _, gid := range gids {
		if !mapsID(m.GIDs, gid) {
			return invalid("process.user: group %d is not mapped in the user namespace", gid)
		}
	}
	return nil
}

// oomScoreAdj raises a value that the daemon may not set to the lowest it may.
func (t *translation) oomScoreAdj(p *specs.Process) error {
	if p.OOMScoreAdj == nil {
		return nil
	}
	score := *p.OOMScoreAdj
	if score < -1000 || score > 1000 {
		return invalid("process.oomScoreAdj: %d is not between -1000 and 1000", score)
	}
	if lowest := t.opts.Host.OOMScoreAdj; score < lowest && !t.opts.Host.can(unix.CAP_SYS_RESOURCE) {
		t.warn("process.oomScoreAdj: %d is raised to %d: the daemon lacks CAP_SYS_RESOURCE", score, lowest)
		score = lowest
	}
	value := int64(score)
	t.plan.Process.OOMScoreAdj = &value
	return nil
}

func (t *translation) personality(*specs.Process) error {
	p := t.linux.Personality
	if p == nil {
		return nil
	}
	if len(p.Flags) > 0 {
		t.warn("linux.personality: flags %v are ignored: the specification defines none", p.Flags)
	}
	var domain uint64
	switch p.Domain {
	case specs.PerLinux:
		domain = 0x0000 // PER_LINUX
	case specs.PerLinux32:
		domain = 0x0008 // PER_LINUX32
	default:
		return invalid("linux.personality: unknown domain %q, want LINUX or LINUX32", p.Domain)
	}
	t.plan.Process.Personality = &domain
	return nil
}

// labels takes over the AppArmor profile and the SELinux context, and refuses what
// would not be enforced.
func (t *translation) labels(p *specs.Process) error {
	if err := checkText("process.apparmorProfile", p.ApparmorProfile); err != nil {
		return err
	}
	if err := checkText("process.selinuxLabel", p.SelinuxLabel); err != nil {
		return err
	}
	profile, label := p.ApparmorProfile, p.SelinuxLabel
	if profile == "unconfined" && !t.opts.Host.AppArmor {
		profile = ""
	}
	if profile != "" && !t.opts.Host.AppArmor {
		return unready("process.apparmorProfile: %q: AppArmor is not enabled on this host", profile)
	}
	if label != "" && !t.opts.Host.SELinux {
		return unready("process.selinuxLabel: %q: SELinux is not enabled on this host", label)
	}
	if profile != "" && label != "" {
		return invalid("process: both apparmorProfile and selinuxLabel are given; only one can be entered at exec")
	}
	t.plan.Process.AppArmor, t.plan.Process.SELinux = profile, label
	return nil
}

// keyring gives all processes of a container one session keyring, apart from the
// daemon's. Its name is the one other runtimes use.
func (t *translation) keyring(p *specs.Process) error {
	if t.opts.NoNewKeyring {
		return nil
	}
	if err := checkText("container id", t.opts.ID); err != nil {
		return err
	}
	t.plan.Process.KeyringName = "_ses." + t.opts.ID
	t.plan.Process.KeyringLabel = p.SelinuxLabel
	return nil
}

func (t *translation) terminal(p *specs.Process) error {
	t.plan.Process.Terminal = p.Terminal
	if !p.Terminal || p.ConsoleSize == nil {
		return nil
	}
	if p.ConsoleSize.Width > math.MaxUint16 || p.ConsoleSize.Height > math.MaxUint16 {
		return invalid("process.consoleSize: %dx%d is more than %d", p.ConsoleSize.Width, p.ConsoleSize.Height, math.MaxUint16)
	}
	t.plan.Process.ConsoleWidth = uint16(p.ConsoleSize.Width)
	t.plan.Process.ConsoleHeight = uint16(p.ConsoleSize.Height)
	return nil
}

// seccomp compiles the profile. A profile is never dropped.
func (t *translation) seccomp(*specs.Process) error {
	profile := t.linux.Seccomp
	if profile == nil {
		return nil
	}
	if t.opts.Seccomp == nil {
		return unready("linux.seccomp: this build has no seccomp support")
	}
	filter, err := t.opts.Seccomp.Compile(profile)
	if err != nil {
		return err
	}
	t.plan.Process.Seccomp = filter
	return nil
}
