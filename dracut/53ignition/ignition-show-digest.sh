#!/bin/sh
# Shows what failed once more, on every console, when the emergency shell has said what it says. Only first boots run it.
set -efu

digest=/run/ignition/digest

# The shell's program asks for its password, or has become the shell, when all has been said before.
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    name=
    process=$(systemctl show --property=MainPID --value emergency.service)
    if [ -r "/proc/$process/comm" ]; then
        read -r name <"/proc/$process/comm" || :
    fi
    case $name in
    sulogin | systemd-sulogin | bash | sh) break ;;
    esac
    sleep 1
done
sleep 1

# Nobody may have said anything: a stage that was killed, or was never begun because something before it failed or was stopped.
if [ ! -e "$digest" ]; then
    if systemctl --quiet is-active ignition-files.service; then
        # Provisioned; what failed is something else.
        exit 0
    fi
    failed=$(systemctl list-units --failed --plain --no-legend --no-pager |
        while read -r unit _; do printf ' %s' "$unit"; done)
    umask 077
    mkdir -p /run/ignition
    cat >"$digest" <<END
ignition: provisioning failed
error:     the stages of this first boot were not run to their end, and none has said why:
           one was killed, or a unit that they depend on has failed or was stopped
           failed units:${failed:- none}
to do:     see journalctl -b of the units that failed and of 'ignition-*', and boot again
END
fi

show() {
    printf '\r\n'
    while IFS= read -r line; do
        printf '%s\r\n' "$line"
    done <"$digest"
}

# A console that nobody reads must not keep the others from theirs. The service's time limit ends what is stuck.
while read -r name abilities _; do
    case $abilities in
    *W*) show >"/dev/$name" & ;;
    esac
done </proc/consoles
wait
