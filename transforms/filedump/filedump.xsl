<?xml version="1.0" encoding="UTF-8"?>
<!--
  Canonical XML to FaceTime / Actiance Vantage FileDump. README.md says what is carried and how.

  It reads every dialect: UserName or userName, with or without the namespace urn:chancery:1. Every
  loop is linear: keys find the people of a room, set:distinct names each once.
-->
<xsl:stylesheet version="1.0"
                xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
                xmlns:c="urn:chancery:1"
                xmlns:exsl="http://exslt.org/common"
                xmlns:set="http://exslt.org/sets"
                xmlns:date="http://exslt.org/dates-and-times"
                extension-element-prefixes="exsl set date"
                exclude-result-prefixes="c">

  <!-- Line breaks are ours, one before each element that is a record: so the results of single conversations, put
       together, are the bytes that all of them at once give. -->
  <xsl:output method="xml" encoding="UTF-8" indent="no"/>

  <!-- ms: milliseconds since 1970; s: seconds. -->
  <xsl:param name="time_unit" select="'ms'"/>
  <!-- LoginName: name (falls back to uri), email (falls back to uri) or uri. -->
  <xsl:param name="login" select="'name'"/>
  <!-- Which elements, in which order. all: what any producer has written; core: Microsoft's; mattermost and vendor
       (the importer's example of 2006): exactly theirs. -->
  <xsl:param name="elements" select="'all'"/>
  <!-- What follows the room's name in @Perspective. -->
  <xsl:param name="perspective_suffix" select="'_group_channel'"/>

  <!-- Whether a message has an id, a kind of user and a kind of update of its own. -->
  <xsl:variable name="updates" select="$elements = 'all' or $elements = 'mattermost'"/>

  <xsl:key name="acts" match="Message" use="concat(generate-id(../..), '|', Sender/@uri)"/>
  <xsl:key name="listed" match="c:Participant" use="concat(generate-id(../..), '|', @uri)"/>

  <xsl:template match="/">
    <xsl:if test="$time_unit != 'ms' and $time_unit != 's'">
      <xsl:message terminate="yes">parameter time_unit: expected ms or s</xsl:message>
    </xsl:if>
    <xsl:if test="$login != 'name' and $login != 'email' and $login != 'uri'">
      <xsl:message terminate="yes">parameter login: expected name, email or uri</xsl:message>
    </xsl:if>
    <xsl:if test="$elements != 'all' and $elements != 'core' and $elements != 'mattermost' and $elements != 'vendor'">
      <xsl:message terminate="yes">parameter elements: expected all, core, mattermost or vendor</xsl:message>
    </xsl:if>
    <FileDump>
      <xsl:apply-templates select="Conversations/Conversation"/>
    </FileDump>
  </xsl:template>

  <xsl:template match="Conversation">
    <xsl:variable name="room" select="Channel/@uri"/>
    <xsl:variable name="presence">
      <xsl:apply-templates select="c:Participants/c:Participant"/>
      <xsl:call-template name="unlisted"/>
    </xsl:variable>
    <xsl:variable name="name">
      <xsl:choose>
        <xsl:when test="string(Channel/@name)"><xsl:value-of select="Channel/@name"/></xsl:when>
        <xsl:otherwise><xsl:value-of select="$room"/></xsl:otherwise>
      </xsl:choose>
    </xsl:variable>
    <xsl:text>&#10;</xsl:text>
    <Conversation>
      <xsl:attribute name="Perspective">
        <xsl:value-of select="$name"/>
        <xsl:if test="$elements != 'mattermost'"><xsl:value-of select="$perspective_suffix"/></xsl:if>
      </xsl:attribute>
      <RoomID>
        <xsl:if test="$elements = 'mattermost'"><xsl:value-of select="concat(Channel/@c:kind, ' - ', $name, ' - ')"/></xsl:if>
        <xsl:value-of select="$room"/>
      </RoomID>
      <StartTimeUTC><xsl:apply-templates select="StartTimeUTC/@since1970" mode="time"/></StartTimeUTC>
      <xsl:for-each select="exsl:node-set($presence)/in">
        <xsl:sort select="@at" data-type="number"/>
        <xsl:sort select="@email"/>
        <xsl:sort select="@uri"/>
        <xsl:text>&#10;</xsl:text>
        <ParticipantEntered><xsl:call-template name="presence"><xsl:with-param name="room" select="$room"/></xsl:call-template></ParticipantEntered>
      </xsl:for-each>
      <xsl:apply-templates select="Messages/Message"/>
      <xsl:for-each select="exsl:node-set($presence)/out">
        <xsl:sort select="@at" data-type="number"/>
        <xsl:sort select="@email"/>
        <xsl:sort select="@uri"/>
        <xsl:text>&#10;</xsl:text>
        <ParticipantLeft><xsl:call-template name="presence"><xsl:with-param name="room" select="$room"/></xsl:call-template></ParticipantLeft>
      </xsl:for-each>
      <xsl:text>&#10;</xsl:text>
      <EndTimeUTC><xsl:apply-templates select="EndTimeUTC/@since1970" mode="time"/></EndTimeUTC>
    </Conversation>
  </xsl:template>

  <!-- ============================== who was in the room ============================== -->

  <!--
    $presence holds one element <in> and one element <out> for each stay, both with at, login, email,
    uri, internal and bot. So the two lists always balance.
  -->
  <xsl:template match="c:Participant">
    <xsl:variable name="conversation" select="../.."/>
    <xsl:variable name="sender" select="key('acts', concat(generate-id($conversation), '|', @uri))[1]/Sender"/>
    <xsl:variable name="in">
      <xsl:choose>
        <xsl:when test="string(@joined)"><xsl:apply-templates select="@joined" mode="instant"/></xsl:when>
        <xsl:otherwise><xsl:value-of select="$conversation/StartTimeUTC/@since1970"/></xsl:otherwise>
      </xsl:choose>
    </xsl:variable>
    <xsl:variable name="out">
      <xsl:choose>
        <xsl:when test="string(@left)"><xsl:apply-templates select="@left" mode="instant"/></xsl:when>
        <xsl:otherwise><xsl:value-of select="$conversation/EndTimeUTC/@since1970"/></xsl:otherwise>
      </xsl:choose>
    </xsl:variable>
    <xsl:call-template name="stay">
      <xsl:with-param name="in" select="$in"/>
      <xsl:with-param name="out" select="$out"/>
      <xsl:with-param name="name" select="@name"/>
      <xsl:with-param name="email" select="@email"/>
      <xsl:with-param name="uri" select="@uri"/>
      <xsl:with-param name="internal" select="$sender/@internal"/>
      <xsl:with-param name="bot" select="$sender/@c:bot"/>
    </xsl:call-template>
  </xsl:template>

  <!-- People who acted, but whom no list of participants names: all, in the dialects without that list. -->
  <xsl:template name="unlisted">
    <xsl:variable name="conversation" select="generate-id()"/>
    <xsl:variable name="start" select="StartTimeUTC/@since1970"/>
    <xsl:variable name="end" select="EndTimeUTC/@since1970"/>
    <xsl:for-each select="set:distinct(Messages/Message/Sender/@uri)">
      <xsl:if test="not(key('listed', concat($conversation, '|', .)))">
        <xsl:variable name="acts" select="key('acts', concat($conversation, '|', .))"/>
        <xsl:variable name="person" select=".."/>
        <xsl:variable name="name" select="$person/@UserName | $person/@userName"/>
        <!-- Moves in and out; who did anything before entering must have been there from the start. -->
        <xsl:variable name="moves">
          <xsl:if test="$acts[1]/@type != 'JOIN'"><move type="JOIN" at="{$start}"/></xsl:if>
          <xsl:for-each select="$acts[@type = 'JOIN' or @type = 'PART']">
            <move type="{@type}" at="{DateTimeUTC/@since1970}"/>
          </xsl:for-each>
        </xsl:variable>
        <!-- A move that changes nothing is passed over: a second JOIN, a second PART. -->
        <xsl:variable name="changes">
          <xsl:for-each select="exsl:node-set($moves)/move">
            <xsl:if test="not(preceding-sibling::move[1]/@type = @type)"><xsl:copy-of select="."/></xsl:if>
          </xsl:for-each>
        </xsl:variable>
        <xsl:for-each select="exsl:node-set($changes)/move[@type = 'JOIN']">
          <xsl:variable name="out">
            <xsl:choose>
              <xsl:when test="following-sibling::move[1]"><xsl:value-of select="following-sibling::move[1]/@at"/></xsl:when>
              <xsl:otherwise><xsl:value-of select="$end"/></xsl:otherwise>
            </xsl:choose>
          </xsl:variable>
          <xsl:call-template name="stay">
            <xsl:with-param name="in" select="@at"/>
            <xsl:with-param name="out" select="$out"/>
            <xsl:with-param name="name" select="$name"/>
            <xsl:with-param name="email" select="$person/@email"/>
            <xsl:with-param name="uri" select="$person/@uri"/>
            <xsl:with-param name="internal" select="$person/@internal"/>
            <xsl:with-param name="bot" select="$person/@c:bot"/>
          </xsl:call-template>
        </xsl:for-each>
      </xsl:if>
    </xsl:for-each>
  </xsl:template>

  <xsl:template name="stay">
    <xsl:param name="in"/>
    <xsl:param name="out"/>
    <xsl:param name="name"/>
    <xsl:param name="email"/>
    <xsl:param name="uri"/>
    <xsl:param name="internal"/>
    <xsl:param name="bot"/>
    <xsl:variable name="login_name">
      <xsl:call-template name="login">
        <xsl:with-param name="name" select="$name"/>
        <xsl:with-param name="email" select="$email"/>
        <xsl:with-param name="uri" select="$uri"/>
      </xsl:call-template>
    </xsl:variable>
    <in at="{$in}" login="{$login_name}" email="{$email}" uri="{$uri}" internal="{$internal}" bot="{$bot}"/>
    <out at="{$out}" login="{$login_name}" email="{$email}" uri="{$uri}" internal="{$internal}" bot="{$bot}"/>
  </xsl:template>

  <!-- The children of ParticipantEntered and ParticipantLeft. -->
  <xsl:template name="presence">
    <xsl:param name="room"/>
    <LoginName><xsl:value-of select="@login"/></LoginName>
    <xsl:if test="$elements = 'mattermost'"><xsl:call-template name="user-type"><xsl:with-param name="bot" select="@bot"/></xsl:call-template></xsl:if>
    <DateTimeUTC><xsl:apply-templates select="@at" mode="time"/></DateTimeUTC>
    <xsl:if test="$elements != 'mattermost'">
      <xsl:if test="string(@internal)"><InternalFlag><xsl:value-of select="@internal"/></InternalFlag></xsl:if>
      <ConversationID><xsl:value-of select="$room"/></ConversationID>
    </xsl:if>
    <xsl:if test="$elements != 'vendor'"><CorporateEmailID><xsl:value-of select="@email"/></CorporateEmailID></xsl:if>
  </xsl:template>

  <!-- ============================== what happened ============================== -->

  <!-- Entering and leaving are told above. -->
  <xsl:template match="Message[@type = 'JOIN' or @type = 'PART']"/>

  <xsl:template match="Message[@type = 'CHAT' or @type = 'BACKCHAT']">
    <xsl:call-template name="message">
      <xsl:with-param name="content" select="@content"/>
    </xsl:call-template>
  </xsl:template>

  <!-- The words before the change, where they are known, then the words after it under the message's own id. -->
  <xsl:template match="Message[@type = 'EDIT']">
    <xsl:if test="@c:previous">
      <xsl:call-template name="message">
        <xsl:with-param name="id" select="concat(@c:event, '-before')"/>
        <xsl:with-param name="update" select="'EditedOriginalMsg'"/>
        <xsl:with-param name="points_to" select="@c:messageId"/>
        <xsl:with-param name="words" select="'[before the edit] '"/>
        <xsl:with-param name="content" select="@c:previous"/>
      </xsl:call-template>
    </xsl:if>
    <xsl:call-template name="message">
      <xsl:with-param name="update" select="'EditedNewMsg'"/>
      <xsl:with-param name="words" select="'[edited] '"/>
      <xsl:with-param name="content" select="@content"/>
    </xsl:call-template>
  </xsl:template>

  <xsl:template match="Message[@type = 'DELETE']">
    <xsl:variable name="text">
      <xsl:choose>
        <xsl:when test="string(@content)"><xsl:value-of select="@content"/></xsl:when>
        <xsl:otherwise><xsl:value-of select="@c:previous"/></xsl:otherwise>
      </xsl:choose>
    </xsl:variable>
    <xsl:call-template name="message">
      <xsl:with-param name="update" select="'Deleted'"/>
      <xsl:with-param name="content" select="concat('delete ', $text)"/>
    </xsl:call-template>
  </xsl:template>

  <xsl:template match="Message[@type = 'FILEDELETE']">
    <xsl:call-template name="message">
      <xsl:with-param name="update" select="'FileDeleted'"/>
      <xsl:with-param name="content" select="concat('delete ', (@c:fileName | @content[not(../@c:fileName)]))"/>
    </xsl:call-template>
  </xsl:template>

  <xsl:template match="Message[@type = 'REACT']">
    <xsl:call-template name="message">
      <xsl:with-param name="update" select="'UpdatedNoMsgChange'"/>
      <xsl:with-param name="content" select="concat('reacted ', @c:reaction)"/>
    </xsl:call-template>
  </xsl:template>

  <xsl:template match="Message[@type = 'UNREACT']">
    <xsl:call-template name="message">
      <xsl:with-param name="update" select="'UpdatedNoMsgChange'"/>
      <xsl:with-param name="content" select="concat('withdrew the reaction ', @c:reaction)"/>
    </xsl:call-template>
  </xsl:template>

  <xsl:template match="Message[@type = 'ROOMCREATE']">
    <xsl:call-template name="notice"><xsl:with-param name="words" select="'room created'"/></xsl:call-template>
  </xsl:template>

  <xsl:template match="Message[@type = 'ROOMUPDATE']">
    <xsl:call-template name="notice"><xsl:with-param name="words" select="'room changed'"/></xsl:call-template>
  </xsl:template>

  <xsl:template match="Message[@type = 'ROOMDELETE']">
    <xsl:call-template name="notice"><xsl:with-param name="words" select="'room deleted'"/></xsl:call-template>
  </xsl:template>

  <xsl:template match="Message[@type = 'MEMBER']">
    <xsl:variable name="words">
      <xsl:value-of select="concat('member ', translate(@c:change, '_', ' '))"/>
      <xsl:for-each select="c:Member">
        <xsl:text>: </xsl:text>
        <xsl:value-of select="normalize-space(concat(@name, ' ', @uri))"/>
        <xsl:if test="string(@previousName)"><xsl:value-of select="concat(', before: ', @previousName)"/></xsl:if>
        <xsl:if test="string(@role)"><xsl:value-of select="concat(', role: ', @role)"/></xsl:if>
      </xsl:for-each>
    </xsl:variable>
    <xsl:call-template name="notice"><xsl:with-param name="words" select="string($words)"/></xsl:call-template>
  </xsl:template>

  <!-- OTHER, and any type that is younger than this stylesheet. -->
  <xsl:template match="Message">
    <xsl:variable name="words">
      <xsl:choose>
        <xsl:when test="@c:kind"><xsl:value-of select="concat('event of type ', @c:kind)"/></xsl:when>
        <xsl:otherwise><xsl:value-of select="concat('event of type ', @type)"/></xsl:otherwise>
      </xsl:choose>
    </xsl:variable>
    <xsl:call-template name="notice"><xsl:with-param name="words" select="string($words)"/></xsl:call-template>
  </xsl:template>

  <!-- Our own words, then the event's, if it has any. -->
  <xsl:template name="notice">
    <xsl:param name="words"/>
    <xsl:call-template name="message">
      <xsl:with-param name="content">
        <xsl:value-of select="$words"/>
        <xsl:if test="string(@content)"><xsl:value-of select="concat(': ', @content)"/></xsl:if>
      </xsl:with-param>
    </xsl:call-template>
  </xsl:template>

  <xsl:template match="Message[@type = 'FILEUPLOAD' or @type = 'FILEDOWNLOAD']">
    <xsl:variable name="status">
      <xsl:choose>
        <xsl:when test="@c:missing">Failed</xsl:when>
        <xsl:when test="$elements = 'vendor'">completed</xsl:when>
        <xsl:otherwise>Completed</xsl:otherwise>
      </xsl:choose>
    </xsl:variable>
    <xsl:text>&#10;</xsl:text>
    <FileTransferStarted><xsl:call-template name="transfer"/></FileTransferStarted>
    <xsl:text>&#10;</xsl:text>
    <FileTransferEnded><xsl:call-template name="transfer"><xsl:with-param name="status" select="$status"/></xsl:call-template></FileTransferEnded>
  </xsl:template>

  <!-- The name the user saw, and the name of the copy beside this document; the vendor's example has the time last. -->
  <xsl:template name="transfer">
    <xsl:param name="status"/>
    <LoginName><xsl:apply-templates select="Sender" mode="login"/></LoginName>
    <xsl:if test="$elements != 'vendor'"><DateTimeUTC><xsl:apply-templates select="DateTimeUTC/@since1970" mode="time"/></DateTimeUTC></xsl:if>
    <UserFileName>
      <xsl:choose>
        <xsl:when test="string(@c:fileName)"><xsl:value-of select="@c:fileName"/></xsl:when>
        <xsl:otherwise><xsl:value-of select="@content"/></xsl:otherwise>
      </xsl:choose>
    </UserFileName>
    <FileName><xsl:value-of select="@content"/></FileName>
    <xsl:if test="$status"><Status><xsl:value-of select="$status"/></Status></xsl:if>
    <xsl:if test="$elements = 'vendor'"><DateTimeUTC><xsl:apply-templates select="DateTimeUTC/@since1970" mode="time"/></DateTimeUTC></xsl:if>
  </xsl:template>

  <!-- One Message; $words stand before the content when the element that tells the same is left out. -->
  <xsl:template name="message">
    <xsl:param name="id">
      <xsl:choose>
        <xsl:when test="string(@c:messageId)"><xsl:value-of select="@c:messageId"/></xsl:when>
        <xsl:when test="@id != 0"><xsl:value-of select="@id"/></xsl:when>
        <xsl:otherwise><xsl:value-of select="@c:event"/></xsl:otherwise>
      </xsl:choose>
    </xsl:param>
    <xsl:param name="update"/>
    <xsl:param name="points_to"/>
    <xsl:param name="words"/>
    <xsl:param name="content"/>
    <xsl:variable name="text">
      <xsl:if test="not($updates)"><xsl:value-of select="$words"/></xsl:if>
      <xsl:value-of select="$content"/>
    </xsl:variable>
    <xsl:text>&#10;</xsl:text>
    <Message>
      <xsl:if test="$updates and string($id)"><MessageId><xsl:value-of select="$id"/></MessageId></xsl:if>
      <LoginName><xsl:apply-templates select="Sender" mode="login"/></LoginName>
      <xsl:if test="$updates"><xsl:call-template name="user-type"><xsl:with-param name="bot" select="Sender/@c:bot"/></xsl:call-template></xsl:if>
      <!-- The vendor's example has the time after the words. -->
      <xsl:if test="$elements = 'vendor'"><Content><xsl:value-of select="$text"/></Content></xsl:if>
      <DateTimeUTC><xsl:apply-templates select="DateTimeUTC/@since1970" mode="time"/></DateTimeUTC>
      <xsl:if test="$updates and $update">
        <UpdatedType><xsl:value-of select="$update"/></UpdatedType>
        <UpdatedDateTimeUTC><xsl:apply-templates select="DateTimeUTC/@since1970" mode="time"/></UpdatedDateTimeUTC>
        <xsl:if test="string($points_to)"><EditedNewMsgId><xsl:value-of select="$points_to"/></EditedNewMsgId></xsl:if>
      </xsl:if>
      <xsl:choose>
        <xsl:when test="$elements = 'vendor'"><ConversationID><xsl:value-of select="../../Channel/@uri"/></ConversationID></xsl:when>
        <xsl:otherwise><Content><xsl:value-of select="$text"/></Content></xsl:otherwise>
      </xsl:choose>
    </Message>
  </xsl:template>

  <!-- ============================== people and time ============================== -->

  <xsl:template match="Sender" mode="login">
    <xsl:call-template name="login">
      <xsl:with-param name="name" select="@UserName | @userName"/>
      <xsl:with-param name="email" select="@email"/>
      <xsl:with-param name="uri" select="@uri"/>
    </xsl:call-template>
  </xsl:template>

  <xsl:template name="user-type">
    <xsl:param name="bot"/>
    <UserType>
      <xsl:choose>
        <xsl:when test="$bot = 'true'">bot</xsl:when>
        <xsl:otherwise>user</xsl:otherwise>
      </xsl:choose>
    </UserType>
  </xsl:template>

  <xsl:template name="login">
    <xsl:param name="name"/>
    <xsl:param name="email"/>
    <xsl:param name="uri"/>
    <xsl:choose>
      <xsl:when test="$login = 'name' and string($name)"><xsl:value-of select="$name"/></xsl:when>
      <xsl:when test="$login = 'email' and string($email)"><xsl:value-of select="$email"/></xsl:when>
      <xsl:otherwise><xsl:value-of select="$uri"/></xsl:otherwise>
    </xsl:choose>
  </xsl:template>

  <!-- Milliseconds since 1970 in the wanted unit; format-number, because plain numbers turn to 1.8e+09. -->
  <xsl:template match="@*" mode="time">
    <xsl:choose>
      <xsl:when test="$time_unit = 's'"><xsl:value-of select="format-number(floor(. div 1000), '0')"/></xsl:when>
      <xsl:otherwise><xsl:value-of select="."/></xsl:otherwise>
    </xsl:choose>
  </xsl:template>

  <!-- An ISO 8601 time in UTC as whole milliseconds since 1970, cut off as @since1970 is; a number stays one. -->
  <xsl:template match="@*" mode="instant">
    <xsl:choose>
      <xsl:when test="number(.) = number(.)"><xsl:value-of select="."/></xsl:when>
      <xsl:otherwise>
        <xsl:variable name="fraction" select="substring(concat(substring-before(substring-after(., '.'), 'Z'), '000'), 1, 3)"/>
        <xsl:variable name="second" select="date:seconds(concat(substring(., 1, 19), 'Z'))"/>
        <xsl:value-of select="format-number($second * 1000 + $fraction, '0')"/>
      </xsl:otherwise>
    </xsl:choose>
  </xsl:template>
</xsl:stylesheet>
