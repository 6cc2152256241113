// SPDX-License-Identifier: Apache-2.0

package differential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/testnode"
)

// worldVariable holds what a test binary that is a world was made for.
const worldVariable = "SARDINE_TEST_WORLD"

// order says what a world is made for.
type order struct {
	Row      row
	Programs string // directory of the reference's
	Mode     mode
}

// mode is who acts in a world.
type mode string

const (
	alone    mode = "reference" // the reference does everything
	ours     mode = "ours"      // ours do
	crossed  mode = "crossed"   // alpha is added by the reference and deleted by ours, beta the other way
	takeover mode = "takeover"  // all are added by the reference, everything else is done by ours
)

// step is what was to be seen after something was done.
type step struct {
	Name  string
	Parts map[string]string // by kind: "outcome", "links", ...
}

// world is the process in which a row is run.
type world struct {
	order
	adds, rest map[string]*actor // by pod; rest checks and deletes
	others     *actor            // for what concerns no pod
	list       *libcni.NetworkConfigList
	spaces     map[string]*os.File
	config     string // the row, in small letters
	names      map[string]string
	steps      []step
}

// liveInWorld is the main function of a world. The steps are written to standard output.
func liveInWorld() int {
	debug.SetGCPercent(-1) // it does not live long
	text := os.Getenv(worldVariable)
	os.Unsetenv(worldVariable)
	w := &world{spaces: map[string]*os.File{}, names: map[string]string{}, config: strings.ToLower(text)}
	err := json.Unmarshal([]byte(text), &w.order)
	if err == nil {
		err = w.live()
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(w.steps)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (w *world) live() error {
	if err := furnish(); err != nil {
		return err
	}
	for _, pod := range pods {
		if err := w.makePod(pod); err != nil {
			return err
		}
	}
	if out, err := shell(context.Background(), "ip link set lo up\n"+w.Row.Prepare); err != nil {
		return fmt.Errorf("prepare: %w: %s", err, out)
	}
	closeAll, err := w.cast()
	if err != nil {
		return err
	}
	err = w.act()
	return errors.Join(err, closeAll())
}

// furnish gives the world file systems of its own, empty where plugins keep state and look for other daemons.
func furnish() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	for _, dir := range []string{"/run", "/var/lib"} {
		if err := unix.Mount("none", dir, "tmpfs", 0, "mode=0755"); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	return os.Mkdir("/run/netns", 0o755)
}

// netns is the path of a pod's network namespace.
func netns(pod string) string { return "/run/netns/" + pod }

func (w *world) makePod(pod string) (err error) {
	if err := os.WriteFile(netns(pod), nil, 0o600); err != nil {
		return err
	}
	kernel.OnThread(func() {
		if err = kernel.Unshare(unix.CLONE_NEWNET, pod); err != nil {
			return
		}
		if w.spaces[pod], err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return
		}
		err = unix.Mount("/proc/thread-self/ns/net", netns(pod), "", unix.MS_BIND, "")
	})
	return err
}

// end removes a pod's namespace.
func (w *world) end(pod string) error {
	if w.spaces[pod] == nil {
		return nil
	}
	w.spaces[pod].Close()
	delete(w.spaces, pod)
	return errors.Join(unix.Unmount(netns(pod), unix.MNT_DETACH), os.Remove(netns(pod)))
}

// cast gives the parts to the actors.
func (w *world) cast() (closeAll func() error, err error) {
	theirs := reference(w.Programs)
	w.others, w.adds, w.rest = theirs, map[string]*actor{"alpha": theirs, "beta": theirs}, map[string]*actor{"alpha": theirs, "beta": theirs}
	plugins := w.Row.Plugins
	if w.Mode == alone && w.Row.Reference != "" {
		plugins = w.Row.Reference
	}
	w.list, err = libcni.NetworkConfFromBytes(w.Row.list(plugins))
	if err != nil || w.Mode == alone {
		return theirs.close, err
	}
	mine, err := inside(w.Programs)
	if err != nil {
		return nil, err
	}
	w.others, w.rest["alpha"] = mine, mine
	switch w.Mode {
	case ours:
		w.adds["alpha"], w.adds["beta"], w.rest["beta"] = mine, mine, mine
	case crossed:
		w.adds["beta"] = mine
	case takeover:
		w.rest["beta"] = mine
	}
	return mine.close, nil
}

// act is the play: every row's is the same.
func (w *world) act() error {
	acts := []func() error{
		func() error { return w.note("STATUS", w.status, w.hear) },
		func() error { return w.note("ADD alpha", w.add("alpha"), w.see) },
		func() error { return w.note("ADD beta", w.add("beta"), w.see) },
		func() error { return w.note("CHECK", w.checks, w.hear) },
		func() error { return w.note("GC", w.gc, w.see) },
		w.spoil,
		func() error { return w.note("DEL alpha", w.del("alpha"), w.see) },
		func() error { return w.note("DEL alpha again", w.del("alpha"), w.hear) },
		func() error { return w.end("beta") },
		func() error { return w.note("DEL beta without namespace", w.del("beta"), w.see) },
		func() error { return w.note("DEL beta again", w.del("beta"), w.see) },
	}
	for _, f := range acts {
		if err := f(); err != nil {
			return err
		}
	}
	return errors.Join(w.end("alpha"), w.end("beta"))
}

type (
	doing  func(ctx context.Context) (result any, err error)
	noting func(ctx context.Context, name string, result any, err error) (map[string]string, error)
)

// note does something and notes what it returned and, if it is worth it, what is to be seen then.
func (w *world) note(name string, do doing, how noting) error {
	ctx, cancel := context.WithTimeout(context.Background(), testnode.Patience)
	defer cancel()
	result, err := do(ctx)
	parts, err := how(ctx, name, result, err)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	w.steps = append(w.steps, step{name, parts})
	return nil
}

// hear notes an outcome only.
func (w *world) hear(_ context.Context, _ string, result any, failure error) (map[string]string, error) {
	s := &scene{config: w.config, known: w.names, parts: map[string]string{}}
	var err error
	s.parts["outcome"], err = s.outcome(result, failure)
	s.replace()
	return s.parts, err
}

// see notes everything.
func (w *world) see(ctx context.Context, name string, result any, failure error) (map[string]string, error) {
	// What must be so at once, whatever becomes of interfaces.
	filter, errFilter := w.filter(ctx)
	files, errFiles := readFiles()
	errSettle := w.settle(ctx, name)
	seen, errLook := w.look(ctx)
	if err := errors.Join(errFilter, errFiles, errSettle, errLook); err != nil {
		return nil, err
	}
	outcome, err := seen.outcome(result, failure)
	if err != nil {
		return nil, err
	}
	seen.parts["filter"], seen.parts["files"], seen.parts["outcome"] = filter, files, outcome
	seen.normalize()
	return seen.parts, nil
}

func (w *world) runtime(pod string) (*libcni.RuntimeConf, error) {
	rt := &libcni.RuntimeConf{ContainerID: pod, NetNS: netns(pod), IfName: "eth0", Args: w.Row.Args[pod]}
	if w.spaces[pod] == nil {
		rt.NetNS = ""
	}
	if text := w.Row.Runtime[pod]; text != nil {
		return rt, json.Unmarshal(text, &rt.CapabilityArgs)
	}
	return rt, nil
}

func (w *world) add(pod string) doing {
	return func(ctx context.Context) (any, error) {
		rt, err := w.runtime(pod)
		if err != nil {
			return nil, err
		}
		return w.adds[pod].AddNetworkList(ctx, w.list, rt)
	}
}

func (w *world) del(pod string) doing {
	return func(ctx context.Context) (any, error) {
		rt, err := w.runtime(pod)
		if err != nil {
			return nil, err
		}
		return nil, w.rest[pod].DelNetworkList(ctx, w.list, rt)
	}
}

// chance finds what CHECK says of a bridge that nobody gave an address: its own is the lowest of its ports', which are random.
var chance = regexp.MustCompile(`Bridge interface \S+ Mac doesn't match`)

// checks has both pods checked by who has not added them.
func (w *world) checks(ctx context.Context) (any, error) {
	said := map[string]string{}
	for _, pod := range pods {
		rt, err := w.runtime(pod)
		if err != nil {
			return nil, err
		}
		if said[pod] = describe(w.rest[pod].CheckNetworkList(ctx, w.list, rt)); chance.MatchString(said[pod]) {
			said[pod] = ""
		}
	}
	return said, nil
}

func (w *world) status(ctx context.Context) (any, error) {
	return nil, w.others.GetStatusNetworkList(ctx, w.list)
}

// gc tells that all pods are valid. libcni detaches nothing then.
func (w *world) gc(ctx context.Context) (any, error) {
	args := &libcni.GCArgs{}
	for _, pod := range pods {
		args.ValidAttachments = append(args.ValidAttachments, types.GCAttachment{ContainerID: pod, IfName: "eth0"})
	}
	return nil, w.others.GCNetworkList(ctx, w.list, args)
}

// spoil breaks something and has it noticed.
func (w *world) spoil() error {
	if w.Row.Spoil == "" {
		return nil
	}
	if out, err := shell(context.Background(), w.Row.Spoil); err != nil {
		return fmt.Errorf("spoil: %w: %s", err, out)
	}
	return w.note("CHECK of what is spoilt", w.checks, w.hear)
}
