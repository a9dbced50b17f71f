/**
 * What is put where netavark looks for its plugins.
 * @module
 */

/** The driver's name, which is the plugin's file name. */
export const NETAVARK_DRIVER = 'fanway';
/** Whose addresses these are in the address book. */
export const NETAVARK_OWNER = 'netavark';
/** One of the directories that podman looks in unless `netavark_plugin_dirs` says otherwise. */
export const PLUGIN_DIRECTORY = '/usr/local/libexec/netavark';
/** podman that runs plugins (netavark 1.6). */
export const PLUGINS_SINCE = [4, 5] as const;
