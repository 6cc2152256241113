// SPDX-License-Identifier: Apache-2.0

//go:build vm

package systemd

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/fdstore"
)

// serviceVariable makes this program a service with a store, for the number of descriptors that it says.
const serviceVariable = "SYSTEMD_TEST_DESCRIPTORS"

// serve is a service that takes back the descriptors of an earlier one, or stores as many as it can, but at
// most so many as it is told. It says how many and how many of them are right, and waits.
func serve() {
	most, err := strconv.Atoi(os.Getenv(serviceVariable))
	if err != nil {
		panic(err)
	}
	fdstore.Protect()
	store, err := fdstore.Open(context.Background(), fdstore.Options{Kind: fdstore.Systemd, Dir: run + "/none"})
	if err != nil {
		panic(err)
	}
	if came := store.Len(); came > 0 {
		right := 0
		for i := range came {
			if isPipeOf(store, pipeName(i)) {
				right++
			}
		}
		fmt.Printf("came back: %d, right: %d\n", came, right)
	} else {
		for i := 0; i < most && putPipe(store, pipeName(i)); i++ {
		}
		fmt.Printf("stored: %d\n", store.Len())
	}
	conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		panic(err)
	}
	if _, err := conn.Write([]byte("READY=1")); err != nil {
		panic(err)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGTERM)
	<-stop
	os.Exit(0)
}

func pipeName(i int) string { return fmt.Sprintf("log/%064d", i) }

// putPipe stores a pipe that holds its name, if the store is not full.
func putPipe(store *fdstore.Store, name string) bool {
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := w.WriteString(name); err != nil {
		panic(err)
	}
	err = store.Put(name, r)
	if err != nil && !errdefs.IsResourceExhausted(err) {
		panic(err)
	}
	return err == nil
}

// isPipeOf takes a pipe back and looks what it holds.
func isPipeOf(store *fdstore.Store, name string) bool {
	files := store.Take(name)
	if len(files) != 1 {
		return false
	}
	defer files[0].Close()
	text, err := io.ReadAll(files[0])
	return err == nil && string(text) == name
}

// A unit can be started with all that its daemon has stored: with a low limit of open files it stores less, and
// with the limit of the installed unit more than 1,024.
func TestManyDescriptors(t *testing.T) {
	file, err := os.ReadFile(installed)
	if err != nil {
		t.Fatal(err)
	}
	shipped := regexp.MustCompile(`(?m)^LimitNOFILE=(.*)$`).FindStringSubmatch(string(file))
	if shipped == nil {
		t.Fatalf("no LimitNOFILE= in %s", installed)
	}
	for _, c := range []struct {
		name, limit string
		want        int
	}{{"usual limit", "1024:1048576", 512}, {"limit of the unit", shipped[1], 1500}} {
		t.Run(c.name, func(t *testing.T) { comeBack(t, c.limit, c.want) })
	}
}

// comeBack expects a service with a limit of open files to store so many of 1,500 descriptors, and to get them back.
func comeBack(t *testing.T, limit string, want int) {
	const service = "fdstore-test.service"
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := "/run/systemd/system/" + service
	text := fmt.Sprintf("[Service]\nType=notify\nExecStart=%s\nEnvironment=%s=%d\nFileDescriptorStoreMax=10081\nLimitNOFILE=%s\n"+
		"Restart=always\nRestartSec=100ms\nTimeoutStartSec=300\n", self, serviceVariable, 1500, limit)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	u := &unit{t: t, service: service, since: time.Now()}
	t.Cleanup(func() { os.Remove(path); u.systemctl("daemon-reload") })
	u.systemctl("daemon-reload")
	u.systemctl("start", service)
	t.Cleanup(func() { u.systemctl("stop", service) })
	t.Cleanup(u.showLog)
	u.eventually("all are stored", func() bool { return u.stored() == want })
	first := u.number("MainPID")
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	u.eventually("the next one is ready", func() bool {
		return u.number("MainPID") != first && u.property("ActiveState") == "active"
	})
	says := fmt.Sprintf("came back: %d, right: %d", want, want)
	u.eventually("the service says "+says, func() bool { return strings.Contains(u.log(), says) })
}
