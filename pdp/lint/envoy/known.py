"""The fields of Envoy's messages, as far as they are judged: envoyproxy/data-plane-api at 84e84367 and Envoy 1.40.

A field that is not here is a finding: Envoy may have learned it since, and nobody has looked at what it opens.
"""

from __future__ import annotations

from typing import Final


def names(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


BOOTSTRAP: Final = names(
    "node node_context_params static_resources dynamic_resources cluster_manager hds_config flags_path stats_sinks "
    "deferred_stat_options stats_config stats_flush_interval stats_flush_on_admin stats_eviction_interval watchdog "
    "watchdogs tracing layered_runtime admin overload_manager enable_dispatcher_stats header_prefix "
    "stats_server_version_override use_tcp_for_dns_lookups dns_resolution_config typed_dns_resolver_config "
    "bootstrap_extensions fatal_actions config_sources default_config_source default_socket_interface "
    "certificate_provider_instances inline_headers perf_tracing_file_path default_regex_engine xds_delegate_extension "
    "xds_config_tracker_extension listener_manager application_log_config grpc_async_client_manager_config "
    "memory_allocator_manager"
)
STATIC: Final = names("listeners clusters secrets")
DISCOVERED: Final = names("version_info resources type_url nonce control_plane canary resource_errors")
ADMIN: Final = names(
    "access_log access_log_path profile_path address socket_options ignore_global_conn_limit allow_paths"
)
ADDRESS: Final = names("socket_address pipe envoy_internal_address")
SOCKET_ADDRESS: Final = names(
    "protocol address port_value named_port resolver_name ipv4_compat network_namespace_filepath"
)
LISTENER: Final = names(
    "name address additional_addresses stat_prefix filter_chains fcds_config filter_chain_matcher use_original_dst "
    "default_filter_chain per_connection_buffer_limit_bytes metadata deprecated_v1 drain_type listener_filters "
    "listener_filters_timeout continue_on_listener_filters_timeout transparent freebind socket_options "
    "tcp_fast_open_queue_length traffic_direction udp_listener_config api_listener connection_balance_config "
    "reuse_port enable_reuse_port access_log tcp_backlog_size max_connections_to_accept_per_socket_event bind_to_port "
    "internal_listener enable_mptcp ignore_global_conn_limit bypass_overload_manager tcp_keepalive"
)
FILTER_CHAIN: Final = names(
    "filter_chain_match filters use_proxy_proto metadata transport_socket transport_socket_connect_timeout name"
)
FILTER: Final = names("name typed_config config_discovery")
TRANSPORT_SOCKET: Final = names("name typed_config")
MANAGER: Final = names(
    "codec_type stat_prefix rds route_config scoped_routes http_filters add_user_agent tracing "
    "common_http_protocol_options http1_safe_max_connection_duration http_protocol_options http2_protocol_options "
    "http3_protocol_options server_name server_header_transformation scheme_header_transformation "
    "max_request_headers_kb stream_idle_timeout stream_flush_timeout request_timeout request_headers_timeout "
    "drain_timeout delayed_close_timeout access_log access_log_flush_interval flush_access_log_on_new_request "
    "access_log_options use_remote_address xff_num_trusted_hops original_ip_detection_extensions "
    "early_header_mutation_extensions internal_address_config skip_xff_append via generate_request_id "
    "preserve_external_request_id always_set_request_id_in_response forward_client_cert_details "
    "set_current_client_cert_details forward_client_cert_matcher proxy_100_continue "
    "represent_ipv4_remote_address_as_ipv4_mapped_ipv6 upgrade_configs normalize_path merge_slashes "
    "path_with_escaped_slashes_action request_id_extension local_reply_config strip_matching_host_port "
    "strip_any_host_port stream_error_on_invalid_http_message path_normalization_options strip_trailing_host_dot "
    "proxy_status_config typed_header_validation_config append_x_forwarded_port append_local_overload "
    "add_proxy_protocol_connection_state forward_proto_config"
)
HTTP_PROTOCOL: Final = names(
    "idle_timeout max_connection_duration max_headers_count max_response_headers_kb max_stream_duration "
    "headers_with_underscores_action max_requests_per_connection"
)
CERT_DETAILS: Final = names("subject cert chain dns uri")
UPGRADE: Final = names("upgrade_type filters enabled connect_config")
HTTP_FILTER: Final = names("name typed_config config_discovery is_optional disabled")
EXT_AUTHZ: Final = names(
    "grpc_service http_service transport_api_version failure_mode_allow failure_mode_allow_header_add "
    "with_request_body clear_route_cache status_on_error validate_mutations metadata_context_namespaces "
    "typed_metadata_context_namespaces route_metadata_context_namespaces route_typed_metadata_context_namespaces "
    "filter_enabled filter_enabled_metadata deny_at_disable include_peer_certificate stat_prefix "
    "bootstrap_metadata_labels_key allowed_headers disallowed_headers include_tls_session "
    "charge_cluster_response_stats encode_raw_headers decoder_header_mutation_rules enable_dynamic_metadata_ingestion "
    "filter_metadata emit_filter_state_stats max_denied_response_body_bytes enforce_response_header_limits"
)
BUFFER: Final = names("max_request_bytes allow_partial_message pack_as_bytes")
HTTP_SERVICE: Final = names(
    "server_uri path_prefix authorization_request authorization_response retry_policy path_override"
)
SERVER_URI: Final = names("uri cluster timeout")
ASKED: Final = names("allowed_headers headers_to_add")
ANSWERED: Final = names(
    "allowed_upstream_headers allowed_upstream_headers_to_append allowed_client_headers "
    "allowed_client_headers_on_success dynamic_metadata_from_headers"
)
PATTERNS: Final = names("patterns")
STRING_MATCH: Final = names("exact prefix suffix safe_regex contains ignore_case custom")
HEADER: Final = names("key value raw_value")
GRPC_SERVICE: Final = names("envoy_grpc google_grpc timeout initial_metadata retry_policy")
ENVOY_GRPC: Final = names("cluster_name authority retry_policy max_receive_message_length skip_envoy_headers")
MUTATION_RULES: Final = names(
    "allow_all_routing allow_envoy disallow_system disallow_all allow_expression disallow_expression disallow_is_error"
)
HEADER_MUTATION: Final = names("mutations most_specific_header_mutations_wins")
MUTATIONS: Final = names(
    "request_mutations query_parameter_mutations response_mutations response_trailers_mutations "
    "request_trailers_mutations"
)
MUTATION: Final = names("remove append remove_on_match")
PER_ROUTE: Final = names("disabled check_settings")
CHECK_SETTINGS: Final = names(
    "context_extensions disable_request_body_buffering with_request_body grpc_service http_service"
)
FILTER_CONFIG: Final = names("config is_optional disabled")
ROUTES: Final = names(
    "name virtual_hosts vhds internal_only_headers response_headers_to_add response_headers_to_remove "
    "request_headers_to_add request_headers_to_remove most_specific_header_mutations_wins validate_clusters "
    "max_direct_response_body_size_bytes cluster_specifier_plugins request_mirror_policies "
    "ignore_port_in_host_matching vhost_header ignore_path_parameters_in_path_matching typed_per_filter_config metadata"
)
VIRTUAL_HOST: Final = names(
    "name domains routes matcher require_tls virtual_clusters rate_limits request_headers_to_add "
    "request_headers_to_remove response_headers_to_add response_headers_to_remove cors typed_per_filter_config "
    "include_request_attempt_count include_attempt_count_in_response retry_policy retry_policy_typed_config "
    "hedge_policy include_is_timeout_retry_header per_request_buffer_limit_bytes request_body_buffer_limit "
    "request_mirror_policies metadata"
)
ROUTE: Final = names(
    "name match route redirect direct_response filter_action non_forwarding_action metadata decorator "
    "typed_per_filter_config request_headers_to_add request_headers_to_remove response_headers_to_add "
    "response_headers_to_remove tracing per_request_buffer_limit_bytes stat_prefix request_body_buffer_limit"
)
MATCH: Final = names(
    "prefix path safe_regex connect_matcher path_separated_prefix path_match_policy case_sensitive runtime_fraction "
    "headers query_parameters cookies grpc tls_context dynamic_metadata filter_state"
)
ROUTE_ACTION: Final = names(
    "cluster cluster_header weighted_clusters cluster_specifier_plugin inline_cluster_specifier_plugin "
    "cluster_not_found_response_code metadata_match prefix_rewrite regex_rewrite path_rewrite_policy path_rewrite "
    "host_rewrite_literal auto_host_rewrite host_rewrite_header host_rewrite_path_regex host_rewrite "
    "append_x_forwarded_host timeout idle_timeout flush_timeout early_data_policy retry_policy "
    "retry_policy_typed_config request_mirror_policies priority rate_limits include_vh_rate_limits hash_policy cors "
    "max_grpc_timeout grpc_timeout_offset upgrade_configs internal_redirect_policy internal_redirect_action "
    "max_internal_redirects hedge_policy max_stream_duration"
)
WEIGHTED: Final = names("clusters total_weight runtime_key_prefix header_name use_hash_policy random_value_specifier")
WEIGHT: Final = names(
    "name cluster_header weight metadata_match request_headers_to_add request_headers_to_remove "
    "response_headers_to_add response_headers_to_remove typed_per_filter_config host_rewrite_literal"
)
STREAM_DURATION: Final = names("max_stream_duration grpc_timeout_header_max grpc_timeout_header_offset")
HEADER_OPTION: Final = names("header append append_action keep_empty_value")
CLUSTER: Final = names(
    "transport_socket_matches transport_socket_matcher name alt_stat_name type cluster_type eds_cluster_config "
    "connect_timeout per_connection_buffer_limit_bytes lb_policy load_assignment health_checks "
    "max_requests_per_connection circuit_breakers upstream_http_protocol_options common_http_protocol_options "
    "http_protocol_options http2_protocol_options typed_extension_protocol_options dns_refresh_rate dns_jitter "
    "dns_failure_refresh_rate respect_dns_ttl dns_lookup_family dns_resolvers use_tcp_for_dns_lookups "
    "dns_resolution_config typed_dns_resolver_config wait_for_warm_on_init outlier_detection cleanup_interval "
    "upstream_bind_config lb_subset_config ring_hash_lb_config maglev_lb_config original_dst_lb_config "
    "least_request_lb_config round_robin_lb_config common_lb_config transport_socket metadata protocol_selection "
    "upstream_connection_options close_connections_on_host_health_failure ignore_health_on_host_removal filters "
    "load_balancing_policy lrs_server lrs_report_endpoint_metrics track_timeout_budgets upstream_config "
    "track_cluster_stats preconnect_policy connection_pool_per_downstream_connection"
)
UPSTREAM_HTTP: Final = names(
    "common_http_protocol_options upstream_http_protocol_options explicit_http_config use_downstream_protocol_config "
    "auto_config http_filters header_validation_config outlier_detection request_mirror_policies hash_policy "
    "retry_policy"
)
LOAD_ASSIGNMENT: Final = names("cluster_name endpoints named_endpoints policy")
LOCALITY: Final = names(
    "locality metadata lb_endpoints load_balancer_endpoints leds_cluster_locality_config load_balancing_weight "
    "priority "
    "proximity"
)
LB_ENDPOINT: Final = names("endpoint endpoint_name health_status metadata load_balancing_weight")
ENDPOINT: Final = names("address health_check_config hostname additional_addresses")
INJECTOR: Final = names("overwrite allow_request_without_credential credential")
INJECTED: Final = names("credential header header_value_prefix")
DOWNSTREAM_TLS: Final = names(
    "common_tls_context require_client_certificate require_sni session_ticket_keys "
    "session_ticket_keys_sds_secret_config disable_stateless_session_resumption disable_stateful_session_resumption "
    "session_timeout ocsp_staple_policy full_scan_certs_on_sni_mismatch prefer_client_ciphers"
)
UPSTREAM_TLS: Final = names(
    "common_tls_context sni auto_host_sni auto_sni_san_validation allow_renegotiation max_session_keys "
    "enforce_rsa_key_usage"
)
COMMON_TLS: Final = names(
    "tls_params tls_certificates tls_certificate_sds_secret_configs tls_certificate_provider_instance "
    "custom_tls_certificate_selector tls_certificate_certificate_provider "
    "tls_certificate_certificate_provider_instance validation_context validation_context_sds_secret_config "
    "combined_validation_context validation_context_certificate_provider "
    "validation_context_certificate_provider_instance alpn_protocols custom_handshaker key_log"
)
COMBINED: Final = names(
    "default_validation_context validation_context_sds_secret_config validation_context_certificate_provider "
    "validation_context_certificate_provider_instance"
)
TLS_PARAMS: Final = names(
    "tls_minimum_protocol_version tls_maximum_protocol_version cipher_suites ecdh_curves signature_algorithms "
    "compliance_policies"
)
VALIDATION: Final = names(
    "trusted_ca ca_certificate_provider_instance system_root_certs watched_directory verify_certificate_spki "
    "verify_certificate_hash match_typed_subject_alt_names match_subject_alt_names "
    "require_signed_certificate_timestamp crl allow_expired_certificate trust_chain_verification "
    "custom_validator_config only_verify_leaf_cert_crl max_verify_depth"
)
SECRET: Final = names("name tls_certificate session_ticket_keys validation_context generic_secret")
REPLY: Final = names("mappers body_format")
REPLY_MAPPER: Final = names("filter status_code body body_format_override headers_to_add")
RUNTIME: Final = names("default_value runtime_key")
FRACTION: Final = names("numerator denominator")
STATUS: Final = names("code")

NEUTRAL: Final = names(
    "adaptive_concurrency admission_control bandwidth_limit buffer compressor cors credential_injector csrf "
    "decompressor fault gcp_authn geoip grpc_field_extraction grpc_stats grpc_web header_to_metadata health_check "
    "ip_tagging jwt_authn kill_request local_ratelimit original_src rate_limit_quota ratelimit rbac set_metadata "
    "stateful_session"
)
"""Filters that answer no request with data, and change neither path, method nor host. By the package of their type."""
LENDING: Final = names("credential_injector gcp_authn")
"""Of these the ones that put credentials of their own onto a request."""
