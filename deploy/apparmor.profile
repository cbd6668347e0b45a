# AppArmor for the image (docs/production.md#least-rights). Load: apparmor_parser -r deploy/apparmor.profile
abi <abi/3.0>,

include <tunables/global>

profile pdp flags=(attach_disconnected) {
  include <abstractions/base>
  include <abstractions/openssl>
  include <abstractions/ssl_certs>

  # its callers, the identity providers, the database
  network inet stream,
  network inet6 stream,
  network inet dgram,
  network inet6 dgram,
  network netlink raw,
  network unix,

  # the interpreter starts itself: the judge's process, and policy under trial
  /usr/bin/python3.11 mrix,
  /usr/lib/python3*/** mr,
  /opt/pdp/ r,
  /opt/pdp/** mr,
  /etc/pdp/ r,
  /etc/pdp/** r,
  /etc/{hosts,host.conf,resolv.conf,nsswitch.conf,passwd,group,gai.conf,services} r,
  /run/secrets/** r,

  owner /var/lib/pdp/ r,
  owner /var/lib/pdp/** rwkl,
  owner /tmp/ r,
  owner /tmp/** rwk,
  owner @{PROC}/@{pid}/** r,
  @{PROC}/sys/kernel/random/uuid r,
  @{PROC}/{meminfo,cpuinfo,stat,filesystems,loadavg} r,
  @{sys}/fs/cgroup/** r,
  @{sys}/devices/system/cpu/** r,

  # its own processes alone
  signal (send, receive) peer=pdp,
  signal receive peer=unconfined,

  deny capability,
  deny mount,
  deny ptrace,
  deny @{PROC}/*/mem rw,
  deny @{PROC}/sysrq-trigger rw,
}
