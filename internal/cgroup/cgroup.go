// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/containerd/errdefs"
	systemdDbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// DefaultParent holds containers whose spec has a relative linux.cgroupsPath or none:
// the "runtime-determined location" of the OCI runtime specification.
const DefaultParent = "/sardine"

// Config describes the cgroup wanted for one container.
type Config struct {
	// ID of the container, unique on the host; the default name of its cgroup.
	ID string
	// Path is the spec's linux.cgroupsPath: "/a/b" with the cgroupfs driver (a relative
	// one is taken below DefaultParent), "slice:prefix:name" with the systemd driver.
	Path   string
	Driver Driver
	// Resources is the spec's linux.resources, its device rules included. May be nil:
	// then only the default devices are allowed and nothing is limited.
	Resources *specs.LinuxResources
	// Annotations of the spec. With the systemd driver those named
	// org.systemd.property.* become properties of the unit.
	Annotations map[string]string
}

// Cgroup is one container's cgroup in all hierarchies of a Host.
// It holds no descriptor and no goroutine.
type Cgroup struct {
	host    *Host
	path    string // below every mount, without a leading slash
	unit    *Unit  // nil with the cgroupfs driver
	pending *start // what Create and Attach still have to do; nil once the container runs

	gate gate // between births and freezes
	// unsure is set when all were killed in a way that may have missed somebody who was being born.
	unsure atomic.Bool
}

// start is what is only known, and only needed, while a container starts.
type start struct {
	resources  *cgroups.Resources
	properties []systemdDbus.Property
	attached   bool
	pids       *int64 // the real limit when Create sets a higher one
}

// New validates cfg and returns the cgroup it describes. Nothing is made yet.
// Errors are of class ErrInvalidArgument and name the spec's field; resources that
// this host has no controller for give ErrFailedPrecondition.
func (h *Host) New(cfg Config) (*Cgroup, error) {
	c := &Cgroup{host: h, pending: &start{}}
	if err := c.locate(cfg); err != nil {
		return nil, err
	}
	resources, err := h.translate(cfg.Resources)
	if err != nil {
		return nil, err
	}
	if resources.Devices, err = deviceRules(cfg.Resources); err != nil {
		return nil, err
	}
	c.pending.resources = resources
	c.pending.relaxPids()
	if c.unit != nil {
		c.pending.properties, err = unitProperties(cfg.Annotations)
	}
	return c, err
}

func (c *Cgroup) locate(cfg Config) (err error) {
	switch cfg.Driver {
	case Systemd:
		if cfg.Path == "" {
			cfg.Path = ":sardine:" + cfg.ID
		}
		if c.unit, err = parseUnit(cfg.Path); err == nil {
			c.path = c.unit.path()
		}
	case Cgroupfs, "":
		c.path, err = cleanPath(cfg)
	default:
		err = fmt.Errorf("cgroup driver %q: want %q or %q: %w", cfg.Driver, Cgroupfs, Systemd, errdefs.ErrInvalidArgument)
	}
	return err
}

func cleanPath(cfg Config) (string, error) {
	p := cfg.Path
	switch {
	case p == "":
		p = path.Join(DefaultParent, cfg.ID)
	case !path.IsAbs(p):
		if strings.Count(p, ":") == 2 {
			return "", fmt.Errorf("linux.cgroupsPath: %q is meant for the systemd cgroup driver, but the cgroupfs driver is configured: %w",
				p, errdefs.ErrInvalidArgument)
		}
		p = DefaultParent + "/" + p
	}
	for _, name := range strings.Split(p, "/") {
		if name == ".." || len(name) > unix.NAME_MAX || strings.ContainsAny(name, "\x00\n") {
			return "", fmt.Errorf("linux.cgroupsPath: %q holds an invalid name: %w", cfg.Path, errdefs.ErrInvalidArgument)
		}
	}
	p = strings.TrimPrefix(path.Clean(p), "/")
	if p == "" {
		return "", fmt.Errorf("linux.cgroupsPath: %q is the root cgroup: %w", cfg.Path, errdefs.ErrInvalidArgument)
	}
	return p, nil
}

// Record is what has to be stored to find a cgroup again after a restart.
type Record struct {
	Mode Mode   `json:"mode"`
	Path string `json:"path"`
	Unit *Unit  `json:"unit,omitempty"` // with the systemd driver
}

// Record describes c for Open.
func (c *Cgroup) Record() Record {
	return Record{Mode: c.host.mode, Path: c.path, Unit: c.unit}
}

// Open returns the cgroup of a container that was started earlier. It does not look
// whether the cgroup still exists: Delete works either way.
func (h *Host) Open(r Record) (*Cgroup, error) {
	if r.Mode != h.mode {
		return nil, fmt.Errorf("cgroup /%s was made in %s mode and the host is in %s mode: %w", r.Path, r.Mode, h.mode, errdefs.ErrFailedPrecondition)
	}
	rel, err := cleanPath(Config{Path: "/" + r.Path})
	if err != nil {
		return nil, err
	}
	return &Cgroup{host: h, path: rel, unit: r.Unit}, nil
}

// Path below each mount point, as in /proc/PID/cgroup of a host whose mounts show their root.
func (c *Cgroup) Path() string { return "/" + c.path }

// Paths maps controllers to directories on the host: v1 names to their cgroup,
// "" to the one in the unified hierarchy.
func (c *Cgroup) Paths() map[string]string {
	paths := c.v1Paths()
	if u := c.host.unified; u != nil {
		paths[""] = u.path(c.path)
	}
	return paths
}

func (c *Cgroup) v1Paths() map[string]string {
	paths := make(map[string]string, len(c.host.v1)+1)
	for _, h := range c.host.v1 {
		for _, name := range h.Controllers {
			paths[name] = h.path(c.path)
		}
	}
	return paths
}

// FD opens the container's directory in the unified hierarchy for SysProcAttr.CgroupFD.
// The caller closes it. It is -1 when a child cannot be born in it: on a Legacy host,
// and with the systemd driver before Attach.
func (c *Cgroup) FD() (int, error) {
	if c.host.unified == nil || c.NeedsAttach() {
		return -1, nil
	}
	return c.host.unified.open(c.path, unix.O_PATH|unix.O_DIRECTORY)
}

// FDOf is FD for an exec: it opens the unified cgroup that pid, the container's init, is in.
// A container that has given its sub-cgroups controllers, as one that runs systemd does,
// can have no process beside them: the kernel says EBUSY for the container's own directory
// ("no internal processes", cgroups(7)). Where init has left the container's
// cgroup altogether, it is the container's own.
func (c *Cgroup) FDOf(pid int) (int, error) {
	if c.host.unified == nil || c.NeedsAttach() {
		return -1, nil
	}
	rel, err := c.unifiedOf(pid)
	if err != nil {
		return -1, err
	}
	return c.host.unified.open(rel, unix.O_PATH|unix.O_DIRECTORY)
}

// unifiedOf is the unified cgroup of pid when that is below the container's, which it is otherwise.
func (c *Cgroup) unifiedOf(pid int) (string, error) {
	if c.host.unified == nil {
		return c.path, nil
	}
	in, err := cgroups.ParseCgroupFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return "", fmt.Errorf("cgroup: process %d: %w", pid, err)
	}
	rel, ok := within(in[""], path.Join(c.host.unified.Root, c.path))
	if !ok {
		rel = ""
	}
	return path.Join(c.path, rel), nil
}

// within cuts the directory dir off p.
func within(p, dir string) (rel string, ok bool) {
	if p == dir {
		return "", true
	}
	return strings.CutPrefix(p, dir+"/")
}
