// SPDX-License-Identifier: Apache-2.0

// Package cgroup makes, limits, watches and removes the control groups of one
// container, on cgroup v1, hybrid and v2 hosts, with the cgroupfs or the systemd driver.
//
// [Detect] looks at the host once and gives a [Host]; [Host.New] turns an OCI
// linux.cgroupsPath and linux.resources into a [Cgroup] without touching the
// system, so every mistake in a spec is reported before any side effect.
//
// The life of a container's cgroup, in the order of the calls:
//
//	c, err := host.New(cfg)   // translate and validate, no side effect
//	c.Create()                // directories in every hierarchy, limits set, still empty
//	b, err := c.Begin(0)      // the birth of a process; of an exec: Begin(pid of init)
//	b.Enter()                 // v1: this locked OS thread moves in, so its children are born inside
//	fd, _ := b.FD()           // v2, hybrid: for SysProcAttr.CgroupFD
//	b.Attach(pid)             // only if b.NeedsAttach(): systemd driver, throttled container
//	b.End()
//	c.Tighten()               // when init is ready: limits that init itself could not live with
//	c.Kill(); c.Delete(ctx)
//
// Enter, FD, NeedsAttach and Attach exist without Begin too; what that saves and
// risks is said at Birth.
//
// The steps on the path of every start (mkdir, tasks, rmdir) are done here with
// directory descriptors held by Host: a manager of github.com/opencontainers/cgroups
// looks up its mounts and opens every file by absolute path each time. Writing
// resource values, the device filter, the v1 freezer and the talk with systemd are theirs.
//
// A Cgroup's methods may be called concurrently, except New to Tighten, which
// belong to the one goroutine that starts the container.
package cgroup
