// SPDX-License-Identifier: Apache-2.0

package fdstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/fdstore/holder"
	"github.com/sardine-run/sardine/internal/kernel"
)

// roles are what this program does instead of tests.
var roles = map[string]func() error{
	"open":     openInProcess,
	"put":      putForever,
	"stranger": sendAsStranger,
	"passed":   takePassedHere,
}

// dirVariable is the directory of the holder in a role.
const dirVariable = "FDSTORE_TEST_DIR"

func openHere(kind string) (*Store, error) {
	return Open(context.Background(), Options{Kind: kind, Dir: os.Getenv(dirVariable), Init: os.Getenv("SARDINE_INIT")})
}

// openInProcess opens a store when a line is read, puts one descriptor and waits for the end of its input.
func openInProcess() error {
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadString('\n'); err != nil {
		return err
	}
	s, err := openHere(Holder)
	if err != nil {
		return err
	}
	if err := s.Put("log/"+strconv.Itoa(os.Getpid()), os.Stdin); err != nil {
		return err
	}
	fmt.Println("put")
	_, err = in.ReadString('\n')
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// putForever puts pipes that hold their name, each with its name printed behind.
func putForever() error {
	s, err := openHere(Holder)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		name := fmt.Sprintf("log/%d", i)
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		if _, err := w.WriteString(name); err != nil {
			return err
		}
		switch err := s.Put(name, r); {
		case err == nil:
			fmt.Println(name)
		case !errdefs.IsUnavailable(err): // which a holder without a processor is
			return err
		}
		r.Close()
		w.Close()
	}
}

// sendAsStranger sends what only the daemon may on the socket that it was given.
func sendAsStranger() error {
	const socket = 3
	for _, m := range []holder.Message{{Order: holder.Store, Name: "stranger"}, {Order: holder.Remove, Name: os.Getenv("FDSTORE_TEST_KEY")}} {
		var fds []int
		if m.Order == holder.Store {
			fds = []int{0}
		}
		if err := kernel.SendRights(socket, m.Encode(), fds, 0); err != nil {
			return err
		}
	}
	return nil
}

// takePassedHere is a daemon that systemd started with descriptors: it prints what it took by
// "log/box", what it put, and whether the others are protected.
func takePassedHere() error {
	if err := os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid())); err != nil {
		return err
	}
	Protect()
	passed, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	for fd := firstPassed; fd < firstPassed+passed; fd++ {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			return fmt.Errorf("descriptor %d has flags %#x: %w", fd, flags, err)
		}
	}
	kind := os.Getenv("FDSTORE_TEST_KIND")
	s, err := openHere(kind)
	if err != nil {
		return err
	}
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, "LISTEN_") {
			return fmt.Errorf("%s is still set", variable)
		}
	}
	fmt.Println(s.Kind(), s.Len())
	for _, f := range s.Take("log/box") {
		text := make([]byte, 64)
		n, err := f.Read(text)
		if err != nil {
			return err
		}
		fmt.Println("box", string(text[:n]))
	}
	return s.Close()
}
