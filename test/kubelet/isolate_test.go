// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// isolatedVariable is set in the environment once the test has its own
// namespaces.
const isolatedVariable = "SARDINE_KUBELET_ISOLATED"

// nodeIP is the node's address, in a network that only the test sees.
const nodeIP = "10.77.0.1"

// TestMain moves the test into its own mount and network namespace, where
// kubelet, daemon, registry and pods find each other. Pods mostly wait, so many
// subtests run at once however few processors there are.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Geteuid() == 0 {
		if err := isolate(); err != nil {
			fmt.Fprintln(os.Stderr, "a node of its own for the test:", err)
			os.Exit(1)
		}
	}
	if !given("test.parallel") {
		_ = flag.Set("test.parallel", "16")
	}
	os.Exit(m.Run())
}

func given(name string) bool {
	found := false
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// isolate executes the test again in new namespaces: threads that Go has made
// by now are in the old ones.
func isolate() error {
	if os.Getenv(isolatedVariable) != "" {
		return errors.Join(followMounts(), setUpNetwork())
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	// Private first, so that nothing reaches the node outside; then shared, as
	// systemd has it.
	for _, propagation := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
		if err := unix.Mount("", "/", "", unix.MS_REC|propagation, ""); err != nil {
			return fmt.Errorf("change the propagation of /: %w", err)
		}
	}
	return unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), isolatedVariable+"=1"))
}

// followMounts keeps a mount namespace that gets every mount of the node's, as
// many services of systemd have one. What a daemon mounts in a place it has not
// made private reaches it, and some of it must not.
func followMounts() error {
	failed := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
			failed <- fmt.Errorf("unshare: %w", err)
			return
		}
		failed <- unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, "")
		select {} // the thread is the namespace's only process
	}()
	return <-failed
}

// setUpNetwork gives the node an address besides loopback's, which the kubelet
// does not accept.
func setUpNetwork() error {
	for _, args := range []string{
		"link set lo up",
		"link add uplink type bridge",
		"addr add " + nodeIP + "/24 dev uplink",
		"link set uplink up",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
	}
	return nil
}
