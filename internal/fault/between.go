// SPDX-License-Identifier: Apache-2.0

package fault

// What has just been done in the middle of a step of a pod's life, where the daemon may be killed too.
const (
	RecordWritten Name = "pod.record.written" // a record, or a spec, lies beside the one that it is to replace

	SpacesStore Name = "spaces.make.store"   // the directory for the pin of the store's mount namespace is a mount
	SpacesDir   Name = "spaces.make.dir"     // the directory for the pins of a pod exists
	SpacesPin   Name = "spaces.make.pin"     // the first of several namespaces is pinned
	SpacesUnpin Name = "spaces.remove.unpin" // the first of several namespaces is not pinned any more

	NetworkRecord Name = "network.add.record"  // what is to be attached is recorded
	NetworkAdd    Name = "network.add.plugins" // the plugins have attached it, and nobody was told
	NetworkDelete Name = "network.del.plugins" // the plugins have detached it
	NetworkForget Name = "network.del.record"  // it is not recorded any more

	LogFIFOs  Name = "log.open.fifos"  // the FIFOs of a container exist
	LogKept   Name = "log.open.kept"   // the descriptor store has them
	LogForget Name = "log.close.store" // the descriptor store does not have them any more
)
