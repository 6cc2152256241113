// SPDX-License-Identifier: Apache-2.0

// Package container runs one container from creation to removal: its first process and
// the further ones executed in it, its cgroup, its streams and the record by which a later
// daemon finds it again.
//
// A Manager holds the containers of the node. Nothing runs per container: exits come from
// the exits package's one poller, and what a container needs again later, its spec, is
// read again from its directory. The Manager tells what happens through Config.Notify, in
// order for each container.
//
// A daemon may end at any instant, and the next one goes on: Load. What must not be closed
// meanwhile, terminals, open inputs, the control sockets of containers that wait for their
// start, is kept in the descriptor store under task/NAMESPACE/ID/EXEC/ROLE, with EXEC empty
// for the first process. What was executed for a session of a client ends with the daemon.
//
// Records lie on a file system that does not survive a reboot, one directory per
// container: DIR/NAMESPACE/ID/{config.json,record.json,exec-ID.json}.
package container
