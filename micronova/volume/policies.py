"""Who may do what with volumes and what belongs to them: the volume room's rules, by OpenStack's names."""

ADMIN = "rule:admin"
MEMBER = "rule:project_member_or_admin"
READER = "rule:project_reader_or_admin"
ANYBODY = "@"

_ADMINS = (
    "volume:create_volume_metadata:internal volume:force_delete volume_extension:volume_admin_actions:reset_status "
    "volume_extension:snapshot_admin_actions:reset_status volume_extension:snapshot_admin_actions:force_delete "
    "volume_extension:volume_admin_actions:force_delete volume_extension:volume_admin_actions:force_detach "
    "volume_extension:volume_admin_actions:migrate_volume volume_extension:volume_host_attribute "
    "volume_extension:volume_mig_status_attribute volume_extension:volume_manage volume_extension:volume_unmanage "
    "snapshot_extension:snapshot_manage snapshot_extension:snapshot_unmanage snapshot_extension:list_manageable "
    "volume_extension:list_manageable volume_extension:types_manage volume_extension:type_create "
    "volume_extension:type_update volume_extension:type_delete volume_extension:access_types_extra_specs "
    "volume_extension:types_extra_specs:create volume_extension:types_extra_specs:update "
    "volume_extension:types_extra_specs:delete volume_extension:volume_type_access:addProjectAccess "
    "volume_extension:volume_type_access:removeProjectAccess volume_extension:volume_type_access "
    "volume_extension:volume_type_encryption:create volume_extension:volume_type_encryption:update "
    "volume_extension:volume_type_encryption:delete volume_extension:volume_type_encryption:get "
    "volume_extension:qos_specs_manage:create volume_extension:qos_specs_manage:update "
    "volume_extension:qos_specs_manage:delete volume_extension:qos_specs_manage:get "
    "volume_extension:qos_specs_manage:get_all volume_extension:default_set_or_update "
    "volume_extension:default_get volume_extension:default_get_all volume_extension:default_unset "
    "volume_extension:quotas:update volume_extension:quotas:delete volume_extension:quota_classes:get "
    "volume_extension:quota_classes:update volume_extension:services:index volume_extension:services:update "
    "volume_extension:hosts volume_extension:capabilities scheduler_extension:scheduler_stats:get_pools "
    "volume:freeze_host volume:thaw_host volume:failover_host volume_extension:backup_admin_actions:reset_status "
    "volume_extension:backup_admin_actions:force_delete backup:backup-import backup:export-import "
    "group:group_types:create group:group_types:update group:group_types:delete group:group_types_specs:create "
    "group:group_types_specs:update group:group_types_specs:delete group:group_types_specs:get_all "
    "group:group_types_specs:get group:access_group_types_specs group:reset_status "
    "group:reset_group_snapshot_status volume:get_all_projects limits_extension:used_limits"
)
_MEMBERS = (
    "volume:create volume:create_from_image volume:update volume:delete volume:extend volume:extend_attached_volume "
    "volume:create_volume_metadata volume:update_volume_metadata volume:delete_volume_metadata volume:retype "
    "volume:update_readonly_flag volume:revert_to_snapshot volume:reserve volume:attachment_create "
    "volume:attachment_update volume:attachment_delete volume:attachment_complete volume:create_snapshot "
    "volume:update_snapshot volume:delete_snapshot volume:update_snapshot_metadata volume:delete_snapshot_metadata "
    "volume_extension:volume_actions:attach volume_extension:volume_actions:detach "
    "volume_extension:volume_actions:reserve volume_extension:volume_actions:unreserve "
    "volume_extension:volume_actions:begin_detaching volume_extension:volume_actions:roll_detaching "
    "volume_extension:volume_actions:initialize_connection volume_extension:volume_actions:terminate_connection "
    "volume_extension:volume_actions:upload_image volume_extension:volume_image_metadata:set "
    "volume_extension:volume_image_metadata:remove snapshot_extension:snapshot_actions:update_snapshot_status "
    "volume:create_transfer volume:accept_transfer volume:delete_transfer message:delete backup:create backup:update "
    "backup:delete backup:restore group:create group:update group:delete group:create_group_snapshot "
    "group:update_group_snapshot group:delete_group_snapshot"
)
_READERS = (
    "volume:get volume:get_all volume:get_volume_metadata volume:get_snapshot volume:get_all_snapshots "
    "volume:get_snapshot_metadata volume_extension:volume_tenant_attribute volume_extension:volume_image_metadata:show "
    "volume:get_transfer volume:get_all_transfers message:get message:get_all backup:get backup:get_all group:get "
    "group:get_all group:get_group_snapshot group:get_all_group_snapshots volume_extension:quotas:show "
    "volume:attachment_get"
)
_OF_ANYBODY = (
    "volume_extension:type_get volume_extension:type_get_all volume_extension:types_extra_specs:index "
    "volume_extension:types_extra_specs:show volume:availability_zone_list volume:limits volume:extensions "
    "group:group_types:get"
)


def _rules(names: str, check: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), check)


RULES: dict[str, str] = {
    **_rules(_ADMINS, ADMIN),
    **_rules(_MEMBERS, MEMBER),
    **_rules(_READERS, READER),
    **_rules(_OF_ANYBODY, ANYBODY),
}
"""Rule name to check, in the grammar of oslo.policy."""
