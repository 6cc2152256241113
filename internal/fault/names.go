// SPDX-License-Identifier: Apache-2.0

package fault

// Name is a step that can be made to fail.
type Name string

// The steps of creating a container, in order.
const (
	CreateBundle Name = "container.create.bundle" // its directory exists, with config.json
	CreateRecord Name = "container.create.record" // the first record is written
	CreateCgroup Name = "container.create.cgroup" // the cgroup exists
	CreateStdio  Name = "container.create.stdio"  // FIFOs are open, a logging program runs
	CreateBorn   Name = "container.create.born"   // the process exists and waits for its plan
	CreateWatch  Name = "container.create.watch"  // its exit will be reported
	CreateReady  Name = "container.create.ready"  // the container is furnished
	CreateLimits Name = "container.create.limits" // the last limits are set
	CreateCommit Name = "container.create.commit" // the final record is written
)

// CreateNames lists the steps of creating a container.
func CreateNames() []Name {
	return []Name{CreateBundle, CreateRecord, CreateCgroup, CreateStdio, CreateBorn, CreateWatch,
		CreateReady, CreateLimits, CreateCommit}
}
