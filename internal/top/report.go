// SPDX-License-Identifier: Apache-2.0

package top

import (
	"encoding/json"
	"io"
	"time"
)

// Report is what a node does at one moment. The names of its JSON fields are stable; a
// unit is part of the name. Percent are of one CPU. What is not known is null.
type Report struct {
	Time            time.Time `json:"time"`
	IntervalSeconds float64   `json:"intervalSeconds"` // over which CPU time was measured, 0 for a first sample
	Address         string    `json:"address"`
	RuntimeName     string    `json:"runtimeName"`
	RuntimeVersion  string    `json:"runtimeVersion"`
	Node            Node      `json:"node"`
	Daemon          *Daemon   `json:"daemon"` // null when its process cannot be seen from here
	Pods            []Pod     `json:"pods"`   // of the namespace asked for
}

// Node has the totals of the machine, pods of all namespaces among them.
type Node struct {
	CPUs                 int      `json:"cpus"`
	CPUPercent           *float64 `json:"cpuPercent"` // of one CPU: 200 when two are busy
	MemoryTotalBytes     int64    `json:"memoryTotalBytes"`
	MemoryAvailableBytes int64    `json:"memoryAvailableBytes"`
	Pods                 int      `json:"pods"`
	PodsReady            int      `json:"podsReady"`
	Containers           int      `json:"containers"`
	ContainersRunning    int      `json:"containersRunning"`
}

// Process is one that runs for the pods without being in them.
type Process struct {
	PID           int      `json:"pid"`
	CPUPercent    *float64 `json:"cpuPercent"`
	ResidentBytes int64    `json:"residentBytes"`
	Threads       int      `json:"threads"`
	Descriptors   *int     `json:"descriptors"`
	AgeSeconds    float64  `json:"ageSeconds"`
}

// Daemon is the CRI server.
type Daemon struct {
	Process
	Goroutines        *int     `json:"goroutines"`        // from its metrics
	StoredDescriptors *int     `json:"storedDescriptors"` // from its metrics
	Holder            *Process `json:"holder"`            // that keeps the stored descriptors; null when systemd does
}

// Usage is what a pod or container uses.
type Usage struct {
	CPUPercent            *float64 `json:"cpuPercent"`
	MemoryWorkingSetBytes *uint64  `json:"memoryWorkingSetBytes"`
}

// States of pods. Those of containers are created, running, exited and unknown.
const (
	stateReady    = "ready"
	stateNotReady = "notReady"
	stateRunning  = "running"
)

// Pod is a pod sandbox.
type Pod struct {
	Namespace         string    `json:"namespace"`
	Name              string    `json:"name"`
	UID               string    `json:"uid"`
	ID                string    `json:"id"`
	State             string    `json:"state"`
	IPs               []string  `json:"ips"`
	CreatedAt         time.Time `json:"createdAt"`
	AgeSeconds        float64   `json:"ageSeconds"`
	Restarts          int       `json:"restarts"` // of all its containers
	ContainersRunning int       `json:"containersRunning"`
	Usage
	Containers []Container `json:"containers"` // the newest of each name
}

// Container of a pod.
type Container struct {
	Name       string    `json:"name"`
	ID         string    `json:"id"`
	State      string    `json:"state"`
	CreatedAt  time.Time `json:"createdAt"`
	AgeSeconds float64   `json:"ageSeconds"`
	Restarts   int       `json:"restarts"` // the kubelet's count, by which it numbers the attempts
	Usage
}

// WriteJSON writes the report as one JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}
