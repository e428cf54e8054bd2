"""Who may do what with servers and what belongs to them: the compute room's rules, by OpenStack's names."""

ADMIN = "rule:admin"
MEMBER = "rule:project_member_or_admin"
READER = "rule:project_reader_or_admin"
OWN_USER = "rule:admin or rule:user_owner"
ANYBODY = "@"

_PREFIX = "os_compute_api:"
_ADMINS = (
    "servers:index:get_all_tenants servers:detail:get_all_tenants servers:allow_all_filters servers:show:host_status "
    "servers:show:host_status:unknown-only servers:create:forced_host "
    "servers:create:zero_disk_flavor servers:migrations:index servers:migrations:show os-admin-actions:reset_state "
    "os-admin-actions:inject_network_info os-admin-actions:reset_network os-extended-server-attributes "
    "os-server-diagnostics os-lock-server:unlock:unlock_override os-migrate-server:migrate "
    "os-migrate-server:migrate_live os-evacuate os-instance-actions:events os-instance-actions:events:details "
    "os-flavor-manage:create os-flavor-manage:update os-flavor-manage:delete os-flavor-access "
    "os-flavor-access:add_tenant_access os-flavor-access:remove_tenant_access os-flavor-extra-specs:create "
    "os-flavor-extra-specs:update os-flavor-extra-specs:delete os-hypervisors:list os-hypervisors:list-detail "
    "os-hypervisors:show os-hypervisors:statistics os-hypervisors:search os-hypervisors:servers "
    "os-hypervisors:uptime os-services:list os-services:update os-services:delete os-hosts:list os-hosts:show "
    "os-availability-zone:detail os-aggregates:index os-aggregates:show os-aggregates:create os-aggregates:update "
    "os-aggregates:delete os-aggregates:set_metadata os-aggregates:add_host os-aggregates:remove_host "
    "os-quota-sets:update os-quota-sets:delete os-quota-class-sets:show os-quota-class-sets:update "
    "os-simple-tenant-usage:list limits:other_project os-server-groups:index:all_projects"
)
_MEMBERS = (
    "servers:create servers:create:attach_volume servers:create:attach_network servers:create:trusted_certs "
    "servers:delete servers:update servers:confirm_resize servers:revert_resize servers:reboot servers:resize "
    "servers:rebuild servers:rebuild:trusted_certs servers:create_image servers:start servers:stop "
    "servers:trigger_crash_dump server-metadata:create server-metadata:update server-metadata:update_all "
    "server-metadata:delete os-server-tags:update os-server-tags:update_all os-server-tags:delete "
    "os-server-tags:delete_all os-lock-server:lock os-lock-server:unlock os-pause-server:pause "
    "os-pause-server:unpause os-suspend-server:suspend os-suspend-server:resume os-rescue os-unrescue "
    "os-shelve:shelve os-shelve:unshelve os-console-output os-remote-consoles os-security-groups:add "
    "os-security-groups:remove os-attach-interfaces:create os-attach-interfaces:delete os-create-backup "
    "os-admin-password os-server-password:clear os-deferred-delete:force os-deferred-delete:restore "
    "os-volumes-attachments:create os-volumes-attachments:delete os-volumes-attachments:update "
    "os-volumes:create os-volumes:delete os-volumes:snapshots:create os-volumes:snapshots:delete "
    "os-server-groups:create os-server-groups:delete"
)
_READERS = (
    "servers:index servers:detail servers:show servers:show:flavor-extra-specs server-metadata:index "
    "server-metadata:show os-server-tags:index os-server-tags:show ips:index ips:show os-attach-interfaces:list "
    "os-attach-interfaces:show os-security-groups:list os-instance-actions:list os-instance-actions:show "
    "os-volumes-attachments:index os-volumes-attachments:show os-server-password:show "
    "os-volumes:list os-volumes:detail os-volumes:show "
    "os-volumes:snapshots:list os-volumes:snapshots:detail os-volumes:snapshots:show "
    "os-server-groups:index os-server-groups:show os-quota-sets:show os-quota-sets:detail "
    "os-simple-tenant-usage:show os-flavor-extra-specs:index os-flavor-extra-specs:show"
)
_OF_USERS = "os-keypairs:index os-keypairs:show os-keypairs:create os-keypairs:delete"
_OF_ANYBODY = "limits os-availability-zone:list os-quota-sets:defaults flavors extensions"


def _rules(names: str, check: str) -> dict[str, str]:
    return {_PREFIX + name: check for name in names.split()}


SWAP = _PREFIX + "os-volumes-attachments:swap"
REQUESTED_DESTINATION = "compute:servers:create:requested_destination"

RULES: dict[str, str] = {
    REQUESTED_DESTINATION: ADMIN,
    SWAP: "role:service or rule:admin",
    **_rules(_ADMINS, ADMIN),
    **_rules(_MEMBERS, MEMBER),
    **_rules(_READERS, READER),
    **_rules(_OF_USERS, OWN_USER),
    **_rules(_OF_ANYBODY, ANYBODY),
}
"""Rule name to check, in the grammar of oslo.policy."""
