// SPDX-License-Identifier: Apache-2.0

package fault

// Name is a step that can be made to fail.
type Name string

// Kill is what a point is armed with to end the process as kill -9 does.
const Kill = "KILL"

// The steps of creating a container, in order.
const (
	CreateSpec    Name = "container.create.spec"    // the request is translated
	CreateBundle  Name = "container.create.bundle"  // its directory exists, with config.json
	CreateRecord  Name = "container.create.record"  // the first record is written
	CreateCgroup  Name = "container.create.cgroup"  // the cgroup exists
	CreateStdio   Name = "container.create.stdio"   // FIFOs are open, a logging program runs
	CreateBorn    Name = "container.create.born"    // the process exists and waits for its plan
	CreateWatch   Name = "container.create.watch"   // its exit will be reported
	CreateReady   Name = "container.create.ready"   // the container is furnished
	CreateLimits  Name = "container.create.limits"  // the last limits are set
	CreateControl Name = "container.create.control" // it will wait for a later daemon, too
	CreateCommit  Name = "container.create.commit"  // the final record is written
)

// The steps of starting a container, in order.
const (
	BeginRecord  Name = "container.start.record"  // it is recorded as told, if it would wait for a later daemon
	BeginProgram Name = "container.start.program" // its program runs
)

// The steps of executing a process in a container, in order.
const (
	ExecStdio   Name = "container.exec.stdio"   // its streams are open
	ExecBorn    Name = "container.exec.born"    // it exists and waits for its plan
	ExecWatch   Name = "container.exec.watch"   // its exit will be reported
	ExecReady   Name = "container.exec.ready"   // it waits for its start
	ExecRecord  Name = "container.exec.record"  // it is recorded
	ExecProgram Name = "container.exec.program" // its program runs
)

// What happens when a container has ended, and the steps of deleting it, in order.
const (
	EndRecord     Name = "container.exit.record"    // how it ended is recorded
	DeleteCgroup  Name = "container.delete.cgroup"  // the cgroup is gone
	DeleteStreams Name = "container.delete.streams" // so are its streams
	DeleteRecord  Name = "container.delete.record"  // and the record
)

// What the container package has just kept in the descriptor store.
const (
	KeepPidfd    Name = "container.keep.pidfd"
	KeepTerminal Name = "container.keep.terminal"
	KeepStdin    Name = "container.keep.stdin"
	KeepControl  Name = "container.keep.control"
)

// The steps of running a pod sandbox, in order.
const (
	RunRecord  Name = "pod.run.record"  // its directory exists, with the record
	RunSpaces  Name = "pod.run.spaces"  // the namespaces are pinned
	RunFiles   Name = "pod.run.files"   // resolv.conf and the like are written
	RunHolder  Name = "pod.run.holder"  // the process that holds a shared pid namespace runs
	RunNetwork Name = "pod.run.network" // the networks are attached
	RunPlugins Name = "pod.run.plugins" // NRI plugins know it
	RunCommit  Name = "pod.run.commit"  // it is recorded as ready
)

// The steps of creating a container of a pod, in order.
const (
	MakeImage   Name = "pod.create.image"   // its images are in use
	MakeSpec    Name = "pod.create.spec"    // the request is translated
	MakePlugins Name = "pod.create.plugins" // NRI plugins have adjusted the spec
	MakeLayer   Name = "pod.create.layer"   // the writable layer and the volumes exist
	MakeRecord  Name = "pod.create.record"  // it is recorded
)

// The steps of starting a container of a pod, in order.
const (
	StartRecord  Name = "pod.start.record"  // it is recorded as starting
	StartLog     Name = "pod.start.log"     // its FIFOs are read
	StartTask    Name = "pod.start.task"    // its process exists
	StartPlugins Name = "pod.start.plugins" // NRI plugins agree
	StartProgram Name = "pod.start.program" // its program runs
)

// What happens when a container of a pod has ended, and the steps of removing it, in order.
const (
	ExitNoted    Name = "pod.exit.noted"    // how it ended is recorded
	ExitCleared  Name = "pod.exit.cleared"  // nothing is left of its processes
	RemoveLayer  Name = "pod.remove.layer"  // the writable layer is gone
	RemoveRecord Name = "pod.remove.record" // the record is gone
)

// The steps of stopping and removing a pod sandbox, in order.
const (
	StopRecord     Name = "pod.stop.record"     // it is recorded as stopping
	StopContainers Name = "pod.stop.containers" // its containers have ended
	StopHolder     Name = "pod.stop.holder"     // so has the process that holds a shared pid namespace
	StopNetwork    Name = "pod.stop.network"    // the networks are detached
	StopSpaces     Name = "pod.stop.spaces"     // the namespaces are not pinned any more
	ForgetMembers  Name = "pod.forget.members"  // its containers are removed
	ForgetRecord   Name = "pod.forget.record"   // the record is gone
)

// RunNames lists the steps of running a pod sandbox.
func RunNames() []Name {
	return []Name{RunRecord, RunSpaces, RunFiles, RunHolder, RunNetwork, RunPlugins, RunCommit}
}

// MakeNames lists the steps of creating a container of a pod.
func MakeNames() []Name { return []Name{MakeImage, MakeSpec, MakePlugins, MakeLayer, MakeRecord} }

// StartNames lists the steps of starting a container of a pod.
func StartNames() []Name {
	return []Name{StartRecord, StartLog, StartTask, StartPlugins, StartProgram}
}

// RemoveNames lists the steps of removing a container of a pod.
func RemoveNames() []Name { return []Name{RemoveLayer, RemoveRecord} }

// StopNames lists the steps of stopping a pod sandbox.
func StopNames() []Name {
	return []Name{StopRecord, StopContainers, StopHolder, StopNetwork, StopSpaces}
}

// ForgetNames lists the steps of removing a pod sandbox.
func ForgetNames() []Name { return []Name{ForgetMembers, ForgetRecord} }

// CreateNames lists the steps of creating a container.
func CreateNames() []Name {
	return []Name{CreateSpec, CreateBundle, CreateRecord, CreateCgroup, CreateStdio, CreateBorn, CreateWatch,
		CreateReady, CreateLimits, CreateControl, CreateCommit}
}

// BeginNames lists the steps of starting a container.
func BeginNames() []Name { return []Name{BeginRecord, BeginProgram} }

// ExecNames lists the steps of executing a process in a container.
func ExecNames() []Name {
	return []Name{ExecStdio, ExecBorn, ExecWatch, ExecReady, ExecRecord, ExecProgram}
}

// DeleteNames lists the steps of deleting a container.
func DeleteNames() []Name { return []Name{DeleteCgroup, DeleteStreams, DeleteRecord} }
