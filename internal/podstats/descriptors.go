// SPDX-License-Identifier: Apache-2.0

package podstats

import runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

// kind of metric: what a descriptor and all its values have in common.
type kind struct {
	name, help string
	typ        runtime.MetricType
	labels     []string // beyond baseLabels
}

const (
	counter = runtime.MetricType_COUNTER
	gauge   = runtime.MetricType_GAUGE
)

// baseLabels are containerd's. A metric of a pod has its id, and an empty container and image.
func baseLabels() []string { return []string{"pod", "namespace", "container", "id", "image"} }

// The metrics have the names, and the meaning, that cAdvisor gives them, and help texts of their own.
// KEP-2371 lists them; missing are those that cAdvisor itself has stopped to fill in, or reads from
// /proc/diskstats, which knows nothing of containers.
var (
	lastSeen  = kind{"container_last_seen", "When the container was last seen, in seconds since 1970.", gauge, nil}
	startTime = kind{"container_start_time_seconds", "When the container was started, in seconds since 1970.", gauge, nil}

	cpuTotal            = kind{"container_cpu_usage_seconds_total", "CPU time used, in whole seconds.", counter, nil}
	cpuUser             = kind{"container_cpu_user_seconds_total", "CPU time used in user mode, in whole seconds.", counter, nil}
	cpuSystem           = kind{"container_cpu_system_seconds_total", "CPU time used in the kernel, in whole seconds.", counter, nil}
	cpuPeriods          = kind{"container_cpu_cfs_periods_total", "Enforcement periods of the CPU quota.", counter, nil}
	cpuThrottledPeriods = kind{"container_cpu_cfs_throttled_periods_total", "Enforcement periods in which the quota was used up.", counter, nil}
	cpuThrottled        = kind{"container_cpu_cfs_throttled_seconds_total", "Time spent waiting for the next enforcement period, in whole seconds.", counter, nil}

	memoryCache        = kind{"container_memory_cache", "Page cache, in bytes.", gauge, nil}
	memoryRSS          = kind{"container_memory_rss", "Resident anonymous memory, in bytes.", gauge, nil}
	memoryKernel       = kind{"container_memory_kernel_usage", "Memory the kernel has allocated for the container, in bytes.", gauge, nil}
	memoryMapped       = kind{"container_memory_mapped_file", "Mapped files, in bytes.", gauge, nil}
	memorySwap         = kind{"container_memory_swap", "Swap used, in bytes.", gauge, nil}
	memoryFailcnt      = kind{"container_memory_failcnt", "How often the memory limit was hit (cgroup v1).", counter, nil}
	memoryUsed         = kind{"container_memory_usage_bytes", "Memory used, reclaimable memory included, in bytes.", gauge, nil}
	memoryMax          = kind{"container_memory_max_usage_bytes", "Most memory ever used, in bytes.", gauge, nil}
	memoryWorkingSet   = kind{"container_memory_working_set_bytes", "Memory used without inactive files, in bytes.", gauge, nil}
	memoryActiveFile   = kind{"container_memory_total_active_file_bytes", "Page cache in active use, in bytes.", gauge, nil}
	memoryInactiveFile = kind{"container_memory_total_inactive_file_bytes", "Page cache not in active use, in bytes.", gauge, nil}
	memoryFailures     = kind{"container_memory_failures_total", "Page faults, by kind and by whether sub-cgroups count.", counter, []string{"failure_type", "scope"}}
	oomEvents          = kind{"container_oom_events_total", "Processes killed for lack of memory.", counter, nil}

	pressureCPUWaiting    = kind{"container_pressure_cpu_waiting_seconds_total", "Time in which some tasks waited for CPU, in whole seconds.", counter, nil}
	pressureCPUStalled    = kind{"container_pressure_cpu_stalled_seconds_total", "Time in which all tasks waited for CPU, in whole seconds.", counter, nil}
	pressureMemoryWaiting = kind{"container_pressure_memory_waiting_seconds_total", "Time in which some tasks waited for memory, in whole seconds.", counter, nil}
	pressureMemoryStalled = kind{"container_pressure_memory_stalled_seconds_total", "Time in which all tasks waited for memory, in whole seconds.", counter, nil}
	pressureIOWaiting     = kind{"container_pressure_io_waiting_seconds_total", "Time in which some tasks waited for a block device, in whole seconds.", counter, nil}
	pressureIOStalled     = kind{"container_pressure_io_stalled_seconds_total", "Time in which all tasks waited for a block device, in whole seconds.", counter, nil}

	networkRxBytes   = kind{"container_network_receive_bytes_total", "Bytes received.", counter, []string{"interface"}}
	networkRxPackets = kind{"container_network_receive_packets_total", "Packets received.", counter, []string{"interface"}}
	networkRxDropped = kind{"container_network_receive_packets_dropped_total", "Packets dropped while receiving.", counter, []string{"interface"}}
	networkRxErrors  = kind{"container_network_receive_errors_total", "Errors while receiving.", counter, []string{"interface"}}
	networkTxBytes   = kind{"container_network_transmit_bytes_total", "Bytes sent.", counter, []string{"interface"}}
	networkTxPackets = kind{"container_network_transmit_packets_total", "Packets sent.", counter, []string{"interface"}}
	networkTxDropped = kind{"container_network_transmit_packets_dropped_total", "Packets dropped while sending.", counter, []string{"interface"}}
	networkTxErrors  = kind{"container_network_transmit_errors_total", "Errors while sending.", counter, []string{"interface"}}

	fsUsed       = kind{"container_fs_usage_bytes", "Bytes in the writable layer.", gauge, []string{"device"}}
	fsLimit      = kind{"container_fs_limit_bytes", "Size of the file system with the writable layer, in bytes.", gauge, []string{"device"}}
	fsInodes     = kind{"container_fs_inodes_total", "Inodes of the file system with the writable layer.", gauge, []string{"device"}}
	fsInodesFree = kind{"container_fs_inodes_free", "Free inodes of the file system with the writable layer.", gauge, []string{"device"}}
	fsReadBytes  = kind{"container_fs_reads_bytes_total", "Bytes read from a block device.", counter, []string{"device"}}
	fsReads      = kind{"container_fs_reads_total", "Reads from a block device.", counter, []string{"device"}}
	fsWriteBytes = kind{"container_fs_writes_bytes_total", "Bytes written to a block device.", counter, []string{"device"}}
	fsWrites     = kind{"container_fs_writes_total", "Writes to a block device.", counter, []string{"device"}}
	blkioUsage   = kind{"container_blkio_device_usage_total", "Bytes transferred, by block device and operation.", counter, []string{"device", "major", "minor", "operation"}}

	processCount    = kind{"container_processes", "Processes.", gauge, nil}
	fileDescriptors = kind{"container_file_descriptors", "Open file descriptors of all processes.", gauge, nil}
	socketCount     = kind{"container_sockets", "Open sockets of all processes.", gauge, nil}
	threadsMax      = kind{"container_threads_max", "How many threads are allowed, 0 for any number.", gauge, nil}
	threads         = kind{"container_threads", "Threads.", gauge, nil}
	ulimitsSoft     = kind{"container_ulimits_soft", "Soft resource limits of the first process.", gauge, []string{"ulimit"}}

	specCPUPeriod   = kind{"container_spec_cpu_period", "Enforcement period of the CPU quota, in microseconds.", gauge, nil}
	specCPUQuota    = kind{"container_spec_cpu_quota", "CPU quota, in microseconds for each period.", gauge, nil}
	specCPUShares   = kind{"container_spec_cpu_shares", "CPU shares.", gauge, nil}
	specMemory      = kind{"container_spec_memory_limit_bytes", "Memory limit in bytes, 0 for none.", gauge, nil}
	specReservation = kind{"container_spec_memory_reservation_limit_bytes", "Memory reservation in bytes, 0 for none.", gauge, nil}
	specSwap        = kind{"container_spec_memory_swap_limit_bytes", "Limit of memory and swap together in bytes, 0 for none.", gauge, nil}
)

func kinds() []*kind {
	return []*kind{
		&lastSeen, &startTime,
		&cpuTotal, &cpuUser, &cpuSystem, &cpuPeriods, &cpuThrottledPeriods, &cpuThrottled,
		&memoryCache, &memoryRSS, &memoryKernel, &memoryMapped, &memorySwap, &memoryFailcnt, &memoryUsed, &memoryMax,
		&memoryWorkingSet, &memoryActiveFile, &memoryInactiveFile, &memoryFailures, &oomEvents,
		&pressureCPUWaiting, &pressureCPUStalled, &pressureMemoryWaiting, &pressureMemoryStalled, &pressureIOWaiting, &pressureIOStalled,
		&networkRxBytes, &networkRxPackets, &networkRxDropped, &networkRxErrors,
		&networkTxBytes, &networkTxPackets, &networkTxDropped, &networkTxErrors,
		&fsUsed, &fsLimit, &fsInodes, &fsInodesFree, &fsReadBytes, &fsReads, &fsWriteBytes, &fsWrites, &blkioUsage,
		&processCount, &fileDescriptors, &socketCount, &threadsMax, &threads, &ulimitsSoft,
		&specCPUPeriod, &specCPUQuota, &specCPUShares, &specMemory, &specReservation, &specSwap,
	}
}

// Descriptors describe all metrics that Metrics may return.
func Descriptors() []*runtime.MetricDescriptor {
	var list []*runtime.MetricDescriptor
	for _, k := range kinds() {
		list = append(list, &runtime.MetricDescriptor{Name: k.name, Help: k.help, LabelKeys: append(baseLabels(), k.labels...)})
	}
	return list
}
