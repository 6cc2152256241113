// SPDX-License-Identifier: Apache-2.0

package kernel

import "golang.org/x/sys/unix"

// SetLinkUp sets a network interface of the calling thread's network namespace up, netdevice(7).
func SetLinkUp(name string) error {
	ifreq, err := unix.NewIfreq(name)
	if err != nil {
		return wrap("set up", name, err)
	}
	socket, err := retryFD(func() (int, error) { return unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0) })
	if err != nil {
		return wrap("socket", "for "+name, err)
	}
	defer unix.Close(socket)
	if err := unix.IoctlIfreq(socket, unix.SIOCGIFFLAGS, ifreq); err != nil {
		return wrap("SIOCGIFFLAGS", name, err)
	}
	ifreq.SetUint16(ifreq.Uint16() | unix.IFF_UP)
	return wrap("SIOCSIFFLAGS", name, unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, ifreq))
}
