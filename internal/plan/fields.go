// SPDX-License-Identifier: Apache-2.0

package plan

// The code methods list the fields of each type once, for both directions.
// The test TestEveryFieldIsCoded fails when a field is forgotten.

func (p *Plan) code(c *codec) {
	c.uint64(&p.Spawn)
	c.bool(&p.UnshareCgroup)
	slice(c, &p.TimeOffsets, codeTimeOffset)
	number(c, &p.JoinCgroup)
	number(c, &p.JoinMount)
	c.string(&p.Hostname)
	c.string(&p.Domainname)
	option(c, &p.Root, codeRoot)
	slice(c, &p.Mounts, codeMount)
	slice(c, &p.Devices, codeDevice)
	slice(c, &p.Links, codeLink)
	strings(c, &p.Readonly)
	strings(c, &p.Masked)
	slice(c, &p.Sysctls, codePair)
	c.bool(&p.HostHooks)
	slice(c, &p.CreateHooks, codeHook)
	slice(c, &p.StartHooks, codeHook)
	c.bytes(&p.CreateState)
	c.bytes(&p.StartState)
	codeProcess(c, &p.Process)
}

func codeRoot(c *codec, r *Root) {
	number(c, &r.FD)
	c.string(&r.At)
	c.uint64(&r.Propagation)
	c.uint64(&r.After)
	c.bool(&r.Readonly)
	number(c, &r.Mask)
}

func codeMount(c *codec, m *Mount) {
	c.string(&m.Destination)
	number(c, &m.FD)
	c.bool(&m.File)
	c.string(&m.FSType)
	c.string(&m.Source)
	slice(c, &m.Options, codePair)
	codeAttr(c, &m.Attr)
	codeAttr(c, &m.Recursive)
	c.uint64(&m.Propagation)
	c.bool(&m.CopyUp)
	slice(c, &m.Cgroups, codePair)
}

func codeAttr(c *codec, a *Attr) {
	c.uint64(&a.Set)
	c.uint64(&a.Clear)
}

func codeDevice(c *codec, d *Device) {
	c.string(&d.Path)
	number(c, &d.Mode)
	c.uint64(&d.Number)
	number(c, &d.UID)
	number(c, &d.GID)
	number(c, &d.FD)
}

func codeLink(c *codec, l *Link) {
	c.string(&l.Target)
	c.string(&l.Path)
}

func codePair(c *codec, p *Pair) {
	c.string(&p.Key)
	c.string(&p.Value)
}

func codeTimeOffset(c *codec, o *TimeOffset) {
	c.string(&o.Clock)
	c.int64(&o.Seconds)
	number(c, &o.Nanos)
}

func codeHook(c *codec, h *Hook) {
	c.string(&h.Path)
	strings(c, &h.Args)
	strings(c, &h.Env)
	c.int64(&h.Timeout)
}

func codeProcess(c *codec, p *Process) {
	strings(c, &p.Args)
	strings(c, &p.Env)
	c.string(&p.Cwd)
	number(c, &p.UID)
	number(c, &p.GID)
	slice(c, &p.Groups, number[uint32])
	number(c, &p.Umask)
	option(c, &p.Capabilities, codeCapabilities)
	c.bool(&p.NoNewPrivs)
	slice(c, &p.Rlimits, codeRlimit)
	option(c, &p.OOMScoreAdj, (*codec).int64)
	option(c, &p.Scheduler, codeScheduler)
	number(c, &p.IOPriority)
	c.bytes(&p.CPUAffinity)
	option(c, &p.Personality, (*codec).uint64)
	c.string(&p.AppArmor)
	c.string(&p.SELinux)
	c.string(&p.KeyringName)
	c.string(&p.KeyringLabel)
	option(c, &p.Seccomp, codeSeccomp)
	c.bool(&p.Terminal)
	number(c, &p.ConsoleWidth)
	number(c, &p.ConsoleHeight)
}

func codeCapabilities(c *codec, s *Capabilities) {
	for _, mask := range []*uint64{&s.Bounding, &s.Effective, &s.Inheritable, &s.Permitted, &s.Ambient} {
		c.uint64(mask)
	}
}

func codeRlimit(c *codec, r *Rlimit) {
	number(c, &r.Resource)
	c.uint64(&r.Soft)
	c.uint64(&r.Max)
}

func codeScheduler(c *codec, s *Scheduler) {
	number(c, &s.Policy)
	c.uint64(&s.Flags)
	number(c, &s.Nice)
	number(c, &s.Priority)
	c.uint64(&s.Runtime)
	c.uint64(&s.Deadline)
	c.uint64(&s.Period)
}

func codeSeccomp(c *codec, s *Seccomp) {
	c.bytes(&s.Program)
	c.uint64(&s.Flags)
	c.bool(&s.Notify)
}
