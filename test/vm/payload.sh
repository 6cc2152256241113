#!/bin/bash
# Runs in the guest, as root, started by sardine-payload.service. What it writes
# to the port is read by report.go; its serial console is for the kernel.
set -u
modprobe virtio_console
port=$(compgen -G '/dev/vport*p1')
for ((tries = 0; tries < 1000 && ${#port} == 0; tries++)); do # the port appears by and by
	sleep 0.1
	port=$(compgen -G '/dev/vport*p1')
done
exec >"$port" 2>&1 </dev/null

mark() { echo "@@sardine-vm $*"; }

# What the host passed by the kernel command line: sardine.slow=1 is SARDINE_SLOW.
set -f
# shellcheck disable=SC2046 # words are wanted
set -- $(cat /proc/cmdline)
set +f
for word; do
	case $word in
	sardine.*=*)
		name=${word%%=*}
		name=${name#sardine.}
		export "SARDINE_${name^^}=${word#*=}"
		;;
	esac
done

mark boot "$(cut -d' ' -f1 /proc/uptime)"
export SARDINE_VM=1 SARDINE_BIN_DIR=/payload/bin SARDINE_INIT=/payload/bin/sardine-init HOME=/root
export PATH=/payload/bin:/payload/bin/tools:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

cp -r /payload/install/. /
systemctl daemon-reload
systemctl enable --quiet sardined

failed=0
while read -r pkg skip; do
	mark begin "$pkg"
	began=$(date +%s.%N)
	(cd "/payload/src/$pkg" && exec "/payload/tests/$pkg" -test.v -test.timeout="$SARDINE_TIMEOUT" -test.count="$SARDINE_COUNT" -test.run="$SARDINE_RUN" -test.skip="$skip")
	status=$?
	[ $status = 0 ] || failed=1
	mark end "$pkg" $status "$(echo "$(date +%s.%N) $began" | awk '{printf "%.1f", $1-$2}')"
done </payload/list
if [ $failed != 0 ]; then
	mark journal
	journalctl -b --no-pager -o short-monotonic -n 50 -p err
	journalctl -b --no-pager -o short-monotonic -u sardined | grep -v 'loading plugin' | tail -n 100
fi
mark exit $failed
